//! Answering a challenge (RFC 3261 section 22, RFC 7616, RFC 8760), reckoned here and not by
//! `towel-core`, whose sums this is to check.

use md5::Md5;
use sha2::{Digest, Sha256, Sha512_256};

use crate::rng::SimRng;
use crate::text::{Text, split_commas};

fn hash(algorithm: &str, input: &str) -> Option<String> {
    let bytes = match algorithm.to_ascii_uppercase().as_str() {
        "MD5" => Md5::digest(input.as_bytes()).to_vec(),
        "SHA-256" => Sha256::digest(input.as_bytes()).to_vec(),
        "SHA-512-256" => Sha512_256::digest(input.as_bytes()).to_vec(),
        _ => return None,
    };
    Some(bytes.iter().map(|b| format!("{b:02x}")).collect())
}

/// The parameters of a challenge or of credentials.
fn params(line: &str) -> Option<Vec<(String, String)>> {
    let (scheme, rest) = line.trim().split_once(char::is_whitespace)?;
    if !scheme.eq_ignore_ascii_case("Digest") {
        return None;
    }
    let pairs = split_commas(rest).into_iter().filter_map(|pair| {
        let (key, value) = pair.split_once('=')?;
        Some((key.trim().to_ascii_lowercase(), value.trim().trim_matches('"').to_string()))
    });
    Some(pairs.collect())
}

fn get<'a>(params: &'a [(String, String)], key: &str) -> Option<&'a str> {
    params.iter().find(|(k, _)| k == key).map(|(_, v)| v.as_str())
}

/// Puts credentials for every challenge of `response` into `request`; false where there is none
/// that can be answered, or where the same answer was refused already.
pub(super) fn answer(
    request: &mut Text,
    response: &Text,
    user: &str,
    password: &str,
    rng: &mut SimRng,
) -> bool {
    let mut answered: Vec<String> = Vec::new();
    for (challenge, credentials) in
        [("WWW-Authenticate", "Authorization"), ("Proxy-Authenticate", "Proxy-Authorization")]
    {
        let lines: Vec<String> = response.lines(challenge).map(Into::into).collect();
        for params in lines.iter().filter_map(|line| params(line)) {
            let realm = get(&params, "realm").unwrap_or_default().to_string();
            if answered.contains(&realm) {
                continue;
            }
            let of_realm = |line: &str| {
                self::params(line).is_some_and(|p| get(&p, "realm") == Some(realm.as_str()))
            };
            let stale = get(&params, "stale").is_some_and(|s| s.eq_ignore_ascii_case("true"));
            if request.lines(credentials).any(of_realm) && !stale {
                continue;
            }
            let Some(line) = credentials_for(&params, 1, request, user, password, rng) else {
                continue;
            };
            request.fields.retain(|(name, value)| {
                !(name.eq_ignore_ascii_case(credentials) && of_realm(value))
            });
            let at = request
                .fields
                .iter()
                .position(|(name, _)| name.eq_ignore_ascii_case("Content-Type"))
                .or_else(|| {
                    request
                        .fields
                        .iter()
                        .position(|(name, _)| name.eq_ignore_ascii_case("Content-Length"))
                })
                .unwrap_or(request.fields.len());
            request.fields.insert(at, (credentials.to_string(), line));
            answered.push(realm);
        }
    }
    if answered.is_empty() {
        return false;
    }
    // Those for other realms go along once more, and are counted on (RFC 7616 section 3.4).
    for at in 0..request.fields.len() {
        let (name, value) = &request.fields[at];
        let credentials = ["Authorization", "Proxy-Authorization"];
        let Some(old) = params(value)
            .filter(|_| credentials.iter().any(|known| name.eq_ignore_ascii_case(known)))
            .filter(|old| !answered.iter().any(|realm| get(old, "realm") == Some(realm)))
        else {
            continue;
        };
        let count = get(&old, "nc").and_then(|count| u32::from_str_radix(count, 16).ok());
        let count = count.unwrap_or(0) + 1;
        if let Some(line) = credentials_for(&old, count, request, user, password, rng) {
            request.fields[at].1 = line;
        }
    }
    true
}

/// `challenge` may be credentials given before, which tell all that it told.
fn credentials_for(
    challenge: &[(String, String)],
    count: u32,
    request: &Text,
    user: &str,
    password: &str,
    rng: &mut SimRng,
) -> Option<String> {
    let realm = get(challenge, "realm")?;
    let nonce = get(challenge, "nonce")?;
    let algorithm = get(challenge, "algorithm").unwrap_or("MD5");
    let uri = request.uri().to_string();
    let h = |input: &str| hash(algorithm, input);
    let ha1 = h(&format!("{user}:{realm}:{password}"))?;
    let qops = get(challenge, "qop").unwrap_or_default();
    let offers = |qop: &str| qops.split(',').any(|q| q.trim() == qop);
    let qop = ["auth", "auth-int"].into_iter().find(|qop| offers(qop));
    let ha2 = match qop {
        Some("auth-int") => {
            let body = h(&String::from_utf8_lossy(&request.body))?;
            h(&format!("{}:{uri}:{body}", request.method()))?
        }
        _ => h(&format!("{}:{uri}", request.method()))?,
    };
    let mut line =
        format!("Digest username=\"{user}\", realm=\"{realm}\", nonce=\"{nonce}\", uri=\"{uri}\"");
    match qop {
        Some(qop) => {
            let cnonce = rng.token(8);
            let response = h(&format!("{ha1}:{nonce}:{count:08x}:{cnonce}:{qop}:{ha2}"))?;
            line.push_str(&format!(
                ", response=\"{response}\", qop={qop}, nc={count:08x}, cnonce=\"{cnonce}\""
            ));
        }
        None => {
            let response = h(&format!("{ha1}:{nonce}:{ha2}"))?;
            line.push_str(&format!(", response=\"{response}\""));
        }
    }
    if let Some(algorithm) = get(challenge, "algorithm") {
        line.push_str(&format!(", algorithm={algorithm}"));
    }
    if let Some(opaque) = get(challenge, "opaque") {
        line.push_str(&format!(", opaque=\"{opaque}\""));
    }
    Some(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 7616 section 3.9.1's example, MD5.
    #[test]
    fn the_sum_of_rfc_7616() {
        let ha1 = hash("MD5", "Mufasa:http-auth@example.org:Circle of Life").unwrap();
        let ha2 = hash("MD5", "GET:/dir/index.html").unwrap();
        let text = format!(
            "{ha1}:7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v:00000001:\
             f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ:auth:{ha2}"
        );
        assert_eq!(hash("MD5", &text).unwrap(), "8ca523f5e9506fed4657c9700eebdbec");
    }

    #[test]
    fn answers_each_realm_once_with_the_first_algorithm_offered() {
        let mut request =
            Text::datagram(b"REGISTER sip:x SIP/2.0\r\nCSeq: 1 REGISTER\r\n\r\n").unwrap();
        let response = Text::datagram(
            b"SIP/2.0 401 U\r\nWWW-Authenticate: Digest realm=\"x\", nonce=\"n\", qop=\"auth\", \
              algorithm=SHA-256\r\nWWW-Authenticate: Digest realm=\"x\", nonce=\"n\", \
              algorithm=MD5\r\n\r\n",
        )
        .unwrap();
        let mut rng = SimRng::new(1);
        assert!(answer(&mut request, &response, "u", "p", &mut rng));
        assert_eq!(request.lines("Authorization").count(), 1);
        assert!(request.first("Authorization").unwrap().contains("algorithm=SHA-256"));
        assert!(!answer(&mut request, &response, "u", "p", &mut rng), "refused twice");
    }
}
