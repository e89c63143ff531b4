//! The port over a real socket, with a server behind it that is not there.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Mutex;

use super::*;
use crate::users::Source;

struct Fake(Mutex<Vec<String>>);

impl Ask for Fake {
    fn metrics(&self) -> Result<Metrics, Gone> {
        let mut metrics = Metrics::default();
        metrics.gauge("towel_bindings", "Bindings.", 3).labelled(
            "towel_messages_total",
            "Messages.",
            true,
            vec![("direction", "in".into())],
            7,
        );
        Ok(metrics)
    }
    fn bindings(&self, _: Option<String>, offset: usize, _: usize) -> Result<BindingPage, Gone> {
        let binding = Binding {
            address_of_record: "sip:alice@example.org".into(),
            contact: "<script>".into(),
            ..Binding::default()
        };
        Ok(BindingPage { total: 3, offset, bindings: vec![binding] })
    }
    fn users(&self, offset: usize, _: usize) -> Result<UserPage, Gone> {
        let row = UserRow { user: "alice".into(), realm: "towel".into(), source: Source::Store };
        Ok(UserPage { total: 1, offset, users: vec![row] })
    }
    fn set_user(&self, user: &str, _: Option<&str>, _: bool) -> Result<Option<String>, Refusal> {
        self.0.lock().unwrap().push(user.to_owned());
        Ok(Some("made".into()))
    }
    fn remove_user(&self, user: &str) -> Result<(), Refusal> {
        Err(Refusal { status: 404, why: format!("there is no user {user}") })
    }
    fn reload(&self) -> Result<String, Refusal> {
        Ok("as it was".into())
    }
    fn trace(&self, _: Wanted) -> Result<Vec<Passed>, Gone> {
        Ok(Vec::new())
    }
    fn calls(&self, _: usize) -> Result<Vec<Call>, Gone> {
        Ok(Vec::new())
    }
    fn set_trace(&self, _: bool) -> Result<bool, Gone> {
        Ok(false)
    }
    fn bans(&self) -> Result<Vec<BanRow>, Gone> {
        let address = "198.51.100.7".parse().unwrap();
        Ok(vec![BanRow { address, port: None, transport: "", seconds: 60, why: "a test" }])
    }
    fn lift(&self, address: std::net::IpAddr) -> Result<usize, Gone> {
        Ok(usize::from(address.is_ipv4()))
    }
    fn overload(&self) -> Result<OverloadRow, Gone> {
        let class = ClassRow { class: "new", admitted_permille: 100, refused: 7, dropped: 42 };
        let neighbour = NeighbourRow {
            address: "192.0.2.65:5060".parse().unwrap(),
            algorithm: "loss",
            value: 20,
            milliseconds: 300,
            sent: 4,
            held_back: 1,
        };
        Ok(OverloadRow {
            overloaded: true,
            pressure: 0.4,
            seconds: Some(75),
            wait: 60,
            set_aside: 3,
            transactions: 400,
            most_transactions: 5000,
            connections: 9,
            classes: vec![class],
            unread_permille: 800,
            neighbours: vec![neighbour],
        })
    }
    fn about(&self) -> About {
        About::default()
    }
}

fn request(address: SocketAddr, head: &str, body: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(
        stream,
        "{head}\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text
}

/// Nobody ends the port.
fn nobody() -> tokio::sync::oneshot::Receiver<()> {
    tokio::sync::oneshot::channel().1
}

#[test]
fn reading_is_open_on_loopback_and_changes_need_the_token() {
    let listener = bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
    let address = listener.local_addr().unwrap();
    let fake = Arc::new(Fake(Mutex::new(Vec::new())));
    let access = Access { token: "t".repeat(32), configured: None };
    serve(listener, fake.clone(), access, nobody()).unwrap();

    let metrics = request(address, "GET /metrics HTTP/1.1\r\nHost: localhost", "");
    assert!(metrics.contains("# TYPE towel_bindings gauge\ntowel_bindings 3\n"), "{metrics}");
    assert!(metrics.contains("towel_messages_total{direction=\"in\"} 7\n"));
    let page = request(address, "GET / HTTP/1.1\r\nHost: 127.0.0.1:8060", "");
    for shown in ["Overload:", "10.0 %", "80.0 % of new requests", "192.0.2.65:5060", "20 % less"] {
        assert!(page.contains(shown), "{shown}: {page}");
    }
    assert!(page.contains("1 banned") && page.contains("198.51.100.7"), "{page}");
    let overload = request(address, "GET /api/overload HTTP/1.1\r\nHost: localhost", "");
    assert!(overload.contains(r#""held_back":1"#), "{overload}");
    assert!(page.contains("&lt;script&gt;") && !page.contains("<script>"), "{page}");
    let users = request(address, "GET /api/users HTTP/1.1\r\nHost: [::1]:80", "");
    assert!(
        users.contains("{\"user\":\"alice\",\"realm\":\"towel\",\"source\":\"store\"}"),
        "{users}"
    );
    // A page of the web that points a name of its own at us.
    let rebound = request(address, "GET /api/users HTTP/1.1\r\nHost: evil.example", "");
    assert!(rebound.starts_with("HTTP/1.1 401"), "{rebound}");

    let add = "POST /api/users HTTP/1.1\r\nHost: localhost";
    let refused = request(address, add, "{\"user\":\"zed\"}");
    assert!(refused.starts_with("HTTP/1.1 401"), "{refused}");
    assert!(fake.0.lock().unwrap().is_empty());
    let with = format!("{add}\r\nAuthorization: Bearer {}", "t".repeat(32));
    let added = request(address, &with, "{\"user\":\"zed\"}");
    assert!(added.contains("\"password\":\"made\""), "{added}");
    let gone = request(
        address,
        &format!(
            "DELETE /api/users/nobody HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}",
            "t".repeat(32)
        ),
        "",
    );
    assert!(gone.starts_with("HTTP/1.1 404") && gone.contains("there is no user nobody"), "{gone}");
}

#[test]
fn a_configured_token_is_needed_for_everything_but_health() {
    let listener = bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
    let address = listener.local_addr().unwrap();
    let access = Access { token: "t".repeat(32), configured: Some("c".repeat(32)) };
    serve(listener, Arc::new(Fake(Mutex::new(Vec::new()))), access, nobody()).unwrap();
    let get = |extra: &str, path: &str| {
        request(address, &format!("GET {path} HTTP/1.1\r\nHost: example.org{extra}"), "")
    };
    assert!(get("", "/api/bindings").starts_with("HTTP/1.1 401"));
    assert!(get("", "/health").starts_with("HTTP/1.1 200"));
    let bearer = format!("\r\nAuthorization: Bearer {}", "c".repeat(32));
    assert!(get(&bearer, "/api/bindings").starts_with("HTTP/1.1 200"));
}
