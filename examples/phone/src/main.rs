//! A working phone in forty lines. With somebody to call it calls, else it registers and answers:
//!
//! ```text
//! phone sip:bob@example.com secret tone:1000
//! phone sip:alice@example.com secret hello.wav sip:bob@example.com
//! ```

use std::time::Duration;

use towel_phone::{Act, Handset, News};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut words = std::env::args().skip(1);
    let mut word = |what| words.next().ok_or(format!("{what} is missing"));
    let user = word("the user, as sip:alice@example.com,")?;
    let password = word("the password")?;
    let play = word("what is played, a WAV file or tone:HERTZ,")?.parse()?;
    let whom = word("").ok();

    let phone = Handset::of(&user)?.password(&password).with(|setup| {
        setup.play = play;
        setup.record = Some("heard.wav".into());
        setup.lasts = Some(Duration::from_secs(5)).filter(|_| whom.is_some());
    });
    let phone = if whom.is_some() { phone.start()? } else { phone.register().start()? };
    if let Some(whom) = &whom {
        phone.call(whom);
    }
    while let Some(news) = phone.next() {
        match news {
            News::Incoming(call, _) => phone.act(call, Act::Answer),
            News::Up(call) if whom.is_some() => phone.act(call, Act::Dial("1".into())),
            News::Digit(_, digit) => println!("key {digit}"),
            News::NotRegistered(status, _) => return Err(format!("refused: {status}").into()),
            News::Over(over) => {
                println!("over: {:?}", over.why);
                break;
            }
            News::Registered => println!("registered"),
            News::Audio { codec, to, .. } => println!("audio by {codec} with {to}"),
            _ => {}
        }
    }
    Ok(())
}
