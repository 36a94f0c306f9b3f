//! Prints the tables, or runs a command over real sockets.

use std::{error::Error, io};

use liveset_benches::{
    report::{Scale, write},
    sockets,
};

fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    let mut args = std::env::args().skip(1).peekable();
    if let Some(command) = args.next_if(|arg| !arg.starts_with("--")) {
        return sockets::run(&command, args);
    }
    let mut scale =
        if args.next_if(|arg| arg == "--small").is_some() { Scale::small() } else { Scale::full() };
    while let Some(option) = args.next() {
        let value = args.next().ok_or_else(|| format!("{option} wants a value"));
        scale = match option.as_str() {
            "--class" => scale.only(value?.parse()?),
            "--nodes" => scale.only_nodes(value?.parse()?),
            "--queries" => scale.at_most_queries(value?.parse()?),
            _ => {
                let usage = "[--small] [--class A1..G] [--nodes N] [--queries AT_MOST], or a command: socket, idle, overload, soak";
                return Err(format!("{option}: there is only {usage}").into());
            }
        };
    }
    write(&scale, &mut io::stdout().lock())?;
    Ok(())
}
