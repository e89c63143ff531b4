//! The messages a person gets, as they get them, and the documented example.

use super::read::Reading;
use super::*;

fn messages(source: &str) -> String {
    match parse("towel.toml", source) {
        Ok(_) => "no problem\n".to_owned(),
        Err(problems) => problems.iter().map(ToString::to_string).collect(),
    }
}

#[test]
fn an_empty_file_is_the_default() {
    assert_eq!(parse("towel.toml", ""), Ok(Config::default()));
}

#[test]
fn an_unknown_key_is_refused_with_a_suggestion() {
    assert_eq!(
        messages("data = \"d\"\ndomans = [\"example.org\"]\n"),
        "towel.toml:2:1: `domans`: unknown key\n  2 | domans = [\"example.org\"]\n    | ^^^^^^\n  help: did you mean `domains`?\n"
    );
    assert_eq!(
        messages("[register]\nmin_expires = 60\n"),
        "towel.toml:2:1: `register.min_expires`: unknown key\n  2 | min_expires = 60\n    | ^^^^^^^^^^^\n  help: did you mean `min-expires`?\n"
    );
    assert!(messages("[log]\nzebra = 1\n").contains("help: known here: level, format"));
}

#[test]
fn values_are_checked_where_they_stand() {
    assert_eq!(
        messages("durability = \"befor-answer\"\n"),
        "towel.toml:1:14: `durability`: `befor-answer` is none of: before-answer, soon, memory\n  1 | durability = \"befor-answer\"\n    |              ^^^^^^^^^^^^^^\n  help: did you mean `before-answer`?\n"
    );
    assert_eq!(
        messages("[limits]\n\tmessage = 12\n"),
        "towel.toml:2:12: `limits.message`: must be from 1300 to 16777216\n  2 | \tmessage = 12\n    | \t          ^^\n"
    );
    assert_eq!(
        messages("[auth]\nregister = \"yes\"\n"),
        "towel.toml:2:12: `auth.register`: true or false is wanted here, not a string\n  2 | register = \"yes\"\n    |            ^^^^^\n"
    );
    assert!(messages("[timers]\nt1 = \"soon\"\n").contains("a time is wanted here"));
    assert!(messages("domains = [\"sip:example.org\"]\n").contains("without `sip:`"));
    assert!(messages("[[listen]]\ntransport = \"upd\"\n").contains("did you mean `udp`?"));
    assert!(
        messages("[[user]]\nname = \"a b\"\npassword = \"x\"\n")
            .contains("must not contain blanks")
    );
}

#[test]
fn values_that_do_not_fit_each_other_are_refused() {
    assert!(messages("[register]\ndefault-expires = 30\n").contains(
        "towel.toml:2:19: `register.default-expires`: must lie between min-expires (1m)"
    ));
    assert!(messages("[register]\nmin-expires = 90\nmax-expires = 80\n").contains("is longer"));
    assert!(messages("[http]\naddress = \"0.0.0.0:80\"\n").contains("needs a credential"));
    assert!(
        messages("[timers]\nt2 = \"100ms\"\n")
            .contains("towel.toml:2:6: `timers.t2`: must not be shorter than t1 (500ms)")
    );
    assert!(messages("[timers]\nt1 = \"5s\"\n").contains("`timers.t1`: must not be longer"));
    assert!(messages("[tls]\nkey = \"Cargo.toml\"\n").contains("must be given together"));
    assert!(
        messages(
            "aliases = [\"a.test\"]
"
        )
        .contains("other names of the first domain")
    );
    assert!(
        messages("[[listen]]\ntransport = \"tcp\"\n[[listen]]\ntransport = \"tls\"\nport = 5060\n")
            .contains("wants the port that tcp 0.0.0.0:5060 has")
    );
}

#[test]
fn listeners_that_want_one_port_are_told_where_the_second_stands() {
    let listen = |transport: &str, address: &str| {
        format!("[[listen]]\ntransport = \"{transport}\"\naddress = \"{address}\"\nport = 5070\n")
    };
    for (first, second, what) in [
        (("udp", "192.0.2.1"), ("udp", "192.0.2.1"), "udp 192.0.2.1:5070 is listed twice"),
        (("udp", "0.0.0.0"), ("udp", "192.0.2.1"), "wants the port that udp 0.0.0.0:5070 has"),
        (("tls", "127.0.0.1"), ("tcp", "0.0.0.0"), "wants the port that tls 127.0.0.1:5070 has"),
        (("udp", "::"), ("udp", "2001:db8::1"), "wants the port that udp [::]:5070 has"),
    ] {
        let text = messages(&(listen(first.0, first.1) + &listen(second.0, second.1)));
        assert!(text.starts_with("towel.toml:5:1: `listen`") && text.contains(what), "{text}");
    }
    for (first, second) in [
        (("udp", "0.0.0.0"), ("tcp", "0.0.0.0")),
        (("udp", "0.0.0.0"), ("udp", "::")),
        (("udp", "192.0.2.1"), ("udp", "192.0.2.2")),
    ] {
        let text = listen(first.0, first.1) + &listen(second.0, second.1);
        assert!(parse("towel.toml", &text).is_ok(), "{text}");
    }
}

#[test]
fn keys_are_named_in_full_and_each_fault_is_told() {
    let text = messages("[extensions.path]\ninser = true\nstrict = 3\n");
    assert!(text.contains("towel.toml:2:1: `extensions.path.inser`: unknown key"), "{text}");
    assert!(text.contains("towel.toml:3:10: `extensions.path.strict`"), "{text}");
    let text = messages("data = \"a\"\ndata = \"b\"\n");
    assert!(text.starts_with("towel.toml:2:1: `data`: duplicate key"), "{text}");
    let user = "[[user]]\nname = \"a\"\npassword = \"b\"\n";
    assert!(messages(&(user.to_owned() + user)).starts_with("towel.toml:4:1: `user`: a is listed"));
}

#[test]
fn one_bound_of_the_expiries_moves_the_others() {
    let expiries = |text: &str| {
        let r = parse("towel.toml", text).unwrap().register;
        [r.min_expires, r.default_expires, r.max_expires].map(|time| time.as_secs())
    };
    assert_eq!(expiries("[register]\nmin-expires = 7200\n"), [7200, 7200, 86_400]);
    assert_eq!(expiries("[register]\nmin-expires = \"2d\"\n"), [172_800; 3]);
    assert_eq!(expiries("[register]\nmax-expires = 600\n"), [60, 600, 600]);
    assert_eq!(expiries("[register]\nmax-expires = 5\n"), [5; 3]);
    assert_eq!(expiries("[register]\nmin-expires = 1\nmax-expires = 2\n"), [1, 2, 2]);
}

#[test]
fn a_short_timer_c_is_told_and_taken() {
    let config = parse("towel.toml", "[timers]\ntimer-c = 2\n").unwrap();
    assert!(warnings(&config)[0].contains("timers.timer-c is 2s"), "{:?}", warnings(&config));
    assert!(warnings(&Config::default()).is_empty());
}

#[test]
fn all_problems_are_told_at_once_and_in_order() {
    let text = messages("zzz = 1\n[proxy]\nmode = \"x\"\n[log]\nlevel = 3\n");
    assert_eq!(text.matches("towel.toml:").count(), 3);
    let at = |needle| text.find(needle).unwrap();
    assert!(at("zzz") < at("proxy.mode") && at("proxy.mode") < at("log.level"));
}

#[test]
fn a_fault_of_the_toml_points_at_its_place() {
    let text = messages("domains = [\"a\"\n");
    assert!(text.starts_with("towel.toml:"), "{text}");
}

#[test]
fn the_example_names_every_key_and_is_accepted() {
    let source = include_str!("../../../../towel.example.toml");
    assert_eq!(parse("towel.example.toml", source).err(), None);
    // These three want files that are there.
    let mut whole = source.to_owned();
    for key in ["certificate", "key", "ca"] {
        whole = whole.replacen(&format!("\n# {key} = "), &format!("\n{key} = "), 1);
    }
    let source = whole.as_str();
    let mut config = Config::default();
    let reading = Reading::document("towel.example.toml", source, |root| {
        sections::root(root, &mut config);
    });
    let missing: Vec<_> = reading.known().iter().filter(|k| !reading.has(k)).collect();
    assert!(missing.is_empty(), "not in the example: {missing:?}");
    let problems = reading.into_problems();
    assert!(problems.is_empty(), "{problems:?}");
    for extension in towel_guide::extensions() {
        let table = config.extensions.iter().find(|table| table.id == extension.id);
        for setting in extension.settings {
            let section = source.split(&format!("[extensions.{}]", extension.id)).nth(1);
            let section = section.and_then(|s| s.split("\n[").next()).unwrap_or("");
            assert!(
                table.is_some() && section.contains(&format!("{} = ", setting.key)),
                "not in the example: extensions.{}.{}",
                extension.id,
                setting.key
            );
        }
    }
}

#[test]
fn certificates_and_keys_are_read() {
    let folder = std::env::temp_dir().join(format!("towel-pem-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let names = vec!["localhost".to_owned()];
    for name in ["one", "two"] {
        let made = rcgen::generate_simple_self_signed(names.clone()).unwrap();
        std::fs::write(folder.join(format!("{name}.pem")), made.cert.pem()).unwrap();
        let key = made.signing_key.serialize_pem();
        std::fs::write(folder.join(format!("{name}.key")), key).unwrap();
    }
    let file = folder.join("towel.toml");
    let says = |text: &str| {
        std::fs::write(&file, text).unwrap();
        match load(Some(&file), &[]) {
            Ok(_) => "no problem".to_owned(),
            Err(problems) => problems.iter().map(ToString::to_string).collect(),
        }
    };
    let pair = "[tls]\ncertificate = \"one.pem\"\nkey = \"one.key\"\nca = \"two.pem\"\n";
    assert_eq!(says(pair), "no problem");
    let said = says(&pair.replace("one.key", "two.key"));
    assert!(said.contains("towel.toml:3:7: `tls.key`: "), "{said}");
    assert!(said.contains("two.key: is not the key of tls.certificate"), "{said}");
    assert!(said.contains("help: "), "{said}");
    let empty =
        says("[tls]\ncertificate = \"/dev/null\"\nkey = \"/dev/null\"\nca = \"/dev/null\"\n");
    for part in [
        ":2:15: `tls.certificate`: /dev/null: there is no certificate in it",
        ":3:7: `tls.key`: /dev/null: there is no private key in it",
        ":4:6: `tls.ca`: /dev/null: there is no usable certificate among them",
    ] {
        assert!(empty.contains(part), "{part}: {empty}");
    }
    assert_eq!(empty.matches("help: ").count(), 3, "{empty}");
    assert!(says(&pair.replace("\"one.pem", "\"one.key")).contains("no certificate in it"));
    std::fs::write(&file, pair).unwrap();
    let set = format!("tls.key={:?}", folder.join("two.key").display().to_string());
    let problems = load(Some(&file), &[set]).unwrap_err();
    assert!(problems[0].to_string().contains("--set: `tls.key`: "), "{problems:?}");
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn the_keys_of_extensions_are_known() {
    let Some(extension) = towel_guide::extensions().into_iter().find(|e| !e.settings.is_empty())
    else {
        return;
    };
    let text = messages(&format!("[extensions.{}]\nzebra = 1\n", extension.id));
    let told = format!("towel.toml:2:1: `extensions.{}.zebra`: unknown key", extension.id);
    assert!(text.starts_with(&told), "{text}");
    let text = messages("[extensions.zebra]\n");
    assert!(text.starts_with("towel.toml:1:13: `extensions.zebra`: there is no entry"), "{text}");
}

#[test]
fn settings_of_the_command_line_go_over_the_file() {
    let config =
        load(None, &["auth.register = false".into(), "log.level=\"debug\"".into()]).unwrap();
    assert!(!config.auth.register);
    assert_eq!(config.log.level, LogLevel::Debug);
    // They may need one another, in whatever order they come.
    let aliased = load(None, &["aliases=[\"a.test\"]".into(), "domains=[\"b.test\"]".into()]);
    assert_eq!(aliased.unwrap().aliases, ["a.test"]);
    let twice = load(None, &["realm=\"a\"".into(), "realm = \"b\"".into()]);
    assert_eq!(twice.unwrap().realm.as_deref(), Some("b"));
    // A shell has taken the quotes away.
    let bare = load(None, &["http.address=127.0.0.1:80".into(), "realm=b.test".into()]).unwrap();
    assert_eq!(bare.http.address.to_string(), "127.0.0.1:80");
    assert_eq!(bare.realm.as_deref(), Some("b.test"));
    let problems = load(None, &["http.address=127.0.0.1:many".into()]).unwrap_err();
    assert!(problems[0].to_string().contains("`http.address`: "), "{}", problems[0]);
    let problems = load(None, &["auth.registr = false".into()]).unwrap_err();
    assert_eq!(problems[0].file, "--set");
}

#[test]
fn listeners_of_the_command_line() {
    let it = parse_listen("udp:127.0.0.1:0").unwrap();
    assert_eq!(it.socket().to_string(), "127.0.0.1:0");
    assert_eq!(parse_listen("tls").unwrap().port, 5061);
    assert_eq!(parse_listen("tcp:[::1]:7").unwrap().socket().to_string(), "[::1]:7");
    assert!(parse_listen("sctp:1.2.3.4").is_err());
}

#[test]
fn networks_contain_addresses() {
    let net = Network::parse("192.0.2.0/24").unwrap();
    assert!(net.contains("192.0.2.77".parse().unwrap()));
    assert!(!net.contains("192.0.3.1".parse().unwrap()));
    assert!(Network::parse("0.0.0.0/0").unwrap().contains("8.8.8.8".parse().unwrap()));
    assert!(Network::parse("::1").unwrap().contains("::1".parse().unwrap()));
    assert!(Network::parse("1.2.3.4/33").is_none());
}
