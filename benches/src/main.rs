//! Prints the tables, counts instructions, or runs a command over real sockets.

use std::{error::Error, io};

use liveset_benches::{
    Class, Count,
    report::{Scale, write},
    sockets,
};

const USAGE: &str = "[--small] [--class A1..W] [--nodes N] [--queries AT_MOST], or a command: instructions, alone, socket, idle, \
                     overload, soak";

fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    let mut args = std::env::args().skip(1).peekable();
    match args.next_if(|arg| !arg.starts_with("--")).as_deref() {
        Some("instructions") => return count(args, |count, _| count.run()),
        Some("alone") => {
            let who = args.next().ok_or("alone wants a contestant")?;
            return count(args, |count, applied| count.alone(&who, applied));
        }
        Some(command) => return sockets::run(command, args),
        None => {}
    }
    let mut scale =
        if args.next_if(|arg| arg == "--small").is_some() { Scale::small() } else { Scale::full() };
    while let Some(option) = args.next() {
        let value = args.next().ok_or_else(|| format!("{option} wants a value"))?;
        scale = match option.as_str() {
            "--class" => scale.only(value.parse()?),
            "--nodes" => scale.only_nodes(value.parse()?),
            "--queries" => scale.at_most_queries(value.parse()?),
            _ => return Err(format!("{option}: there is only {USAGE}").into()),
        };
    }
    write(&scale, &mut io::stdout().lock())?;
    Ok(())
}

/// Reads what is to be counted; the second is how many of the changes are applied.
fn count(
    mut args: impl Iterator<Item = String>,
    run: impl FnOnce(Count, usize) -> Result<(), Box<dyn Error + Send + Sync>>,
) -> Result<(), Box<dyn Error + Send + Sync>> {
    let mut count = Count { class: Class::G, nodes: 100_000, queries: 1_000, changes: 500, size: 1 };
    let mut applied = None;
    while let Some(option) = args.next() {
        let value = args.next().ok_or_else(|| format!("{option} wants a value"))?;
        match option.as_str() {
            "--class" => count.class = value.parse()?,
            "--nodes" => count.nodes = value.parse()?,
            "--queries" => count.queries = value.parse()?,
            "--changes" => count.changes = value.parse()?,
            "--commit" => count.size = value.parse()?,
            "--applied" => applied = Some(value.parse()?),
            _ => {
                let known = "--class, --nodes, --queries, --changes, --commit and --applied";
                return Err(format!("{option}: there is only {known}").into());
            }
        }
    }
    run(count, applied.unwrap_or(count.changes))
}
