//! Every flow of the Guide in every network that it names, each a line of the output.
//!
//! `cargo test -p towel-sim --test flows -- fork` runs those whose entry and name contain `fork`;
//! `--ladder` draws the plain run of each as well, `--shards=3` has every server have three. A path that
//! ends in `.flow` runs that file as it is now.

use towel_guide::flows::FLOWS;
use towel_sim::element::Elements;
use towel_sim::flow::{Flow, Variant};
use towel_sim::ladder::Style;
use towel_sim::run::{Suite, run_flow};

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let ladder = arguments.iter().any(|a| a == "--ladder");
    if arguments.iter().any(|a| a == "--list") {
        return;
    }
    let shards = arguments.iter().find_map(|a| a.strip_prefix("--shards=")?.parse().ok());
    let elements = Elements::default().in_shards(shards.unwrap_or(1));
    let given: Vec<String> = arguments.into_iter().filter(|a| !a.starts_with('-')).collect();
    let (files, mut filters): (Vec<_>, Vec<_>) =
        given.into_iter().partition(|argument| argument.ends_with(".flow"));
    let mut suite = Suite::default();
    for file in &files {
        match std::fs::read_to_string(file) {
            Ok(text) => suite.add(file, text),
            Err(error) => {
                println!("{file}: {error} ... FAILED");
                std::process::exit(1);
            }
        }
    }
    filters.extend(files);
    for found in FLOWS {
        let name = format!("{}/{}", found.entry, found.name);
        if ladder
            && (filters.is_empty() || filters.iter().any(|f| name.contains(f.as_str())))
            && let Ok(flow) = Flow::parse(found.text)
        {
            let outcome = run_flow(&flow, &Variant::plain(), &elements);
            println!("{name}\n\n{}", outcome.ladder.render(Style { messages: true }));
        }
        suite.add(name, found.text);
    }
    let mut run = 0;
    let failed = suite.run(&elements, &filters, &mut |line| {
        run += usize::from(line.starts_with("test "));
        println!("{line}");
    });
    // And once more in servers of several shards: what a flow sees of them must not differ.
    let mut failed = failed;
    if shards.is_none() && filters.is_empty() {
        println!("with servers of three shards:");
        let plain = ["[plain]".to_owned()];
        failed += suite.run(&Elements::default().in_shards(3), &plain, &mut |line| {
            println!("{line}");
        });
    }
    if run == 0 {
        println!("no flow has {} in its name ... FAILED", filters.join(" or "));
    }
    std::process::exit(i32::from(failed > 0 || run == 0));
}
