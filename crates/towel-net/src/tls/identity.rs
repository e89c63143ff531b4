//! Which SIP domains a certificate speaks for (RFC 5922 section 7.1), and whether one of them is
//! the one that was asked for (section 7.2).

use rustls::pki_types::{CertificateDer, ServerName};
use webpki::EndEntityCert;

/// The SIP domain identities of a certificate, in lower case. Whether the certificate is to be
/// trusted is another question.
pub fn identities(certificate: &CertificateDer<'_>) -> Vec<String> {
    let Ok(certificate) = EndEntityCert::try_from(certificate) else { return Vec::new() };
    let domains: Vec<String> = certificate.valid_uri_names().filter_map(sip_domain).collect();
    if !domains.is_empty() {
        return domains;
    }
    // DNS names count only where no "sip" URI names a domain.
    certificate.valid_dns_names().map(str::to_ascii_lowercase).collect()
}

/// The host of a "sip" URI without a user part: one with a user part names a person, and other
/// schemes name something else.
fn sip_domain(uri: &str) -> Option<String> {
    let (scheme, rest) = uri.split_once(':')?;
    if !scheme.eq_ignore_ascii_case("sip") || rest.contains('@') {
        return None;
    }
    let end = rest.find([';', '?', ':']).unwrap_or(rest.len());
    let host = rest.get(..end)?.trim_end_matches('.');
    (!host.is_empty()).then(|| host.to_ascii_lowercase())
}

/// Whether the certificate speaks for `name`: a whole domain name, letter case apart. No
/// wildcard, no suffix (RFC 5922 section 7.2). A numeric name must be among the addresses.
pub(super) fn speaks_for(certificate: &CertificateDer<'_>, name: &ServerName<'_>) -> bool {
    match name {
        ServerName::DnsName(name) => {
            let name = name.as_ref().trim_end_matches('.');
            identities(certificate)
                .iter()
                .any(|i| !i.starts_with("*.") && i.trim_end_matches('.').eq_ignore_ascii_case(name))
        }
        address => EndEntityCert::try_from(certificate)
            .is_ok_and(|c| c.verify_is_valid_for_subject_name(address).is_ok()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_sip_uri_without_a_user_names_a_domain() {
        assert_eq!(sip_domain("sip:Example.com").as_deref(), Some("example.com"));
        assert_eq!(sip_domain("SIP:example.com;lr").as_deref(), Some("example.com"));
        assert_eq!(sip_domain("sip:example.com:5061").as_deref(), Some("example.com"));
        assert_eq!(sip_domain("sip:alice@example.com"), None);
        assert_eq!(sip_domain("sips:example.com"), None);
        assert_eq!(sip_domain("https://example.com"), None);
        assert_eq!(sip_domain("sip:"), None);
    }
}
