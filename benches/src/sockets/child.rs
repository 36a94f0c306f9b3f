//! A process of our own that is told what to do by lines, and answers in lines.

use std::{
    fmt::Display,
    io::{BufRead, BufReader, Write},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use super::Outcome;

/// How long clients may take to catch up.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);

/// What the process itself does: each line's command with what follows it, until they end.
pub(super) fn obey(mut each: impl FnMut(&str, &str) -> Outcome) -> Outcome {
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        let (command, rest) = line.split_once(' ').unwrap_or((&line, ""));
        each(command, rest)?;
    }
    Ok(())
}

/// Answers.
pub(super) fn say<L: Display>(lines: impl IntoIterator<Item = L>) {
    let mut out = std::io::stdout().lock();
    for line in lines {
        let _ = writeln!(out, "{line}");
    }
    let _ = out.flush();
}

/// The process. It is killed when this is dropped.
#[derive(Debug)]
pub(super) struct Helper {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Helper {
    /// Starts this program with another command.
    pub(super) fn start(command: &str, options: &[(&str, u64)]) -> Outcome<Self> {
        let mut child = Command::new(std::env::current_exe()?);
        child.arg(command);
        for (name, value) in options {
            child.arg(format!("--{name}")).arg(value.to_string());
        }
        let mut child = child.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let (input, output) = (child.stdin.take(), child.stdout.take());
        let (input, output) = input.zip(output).ok_or("a process without pipes")?;
        Ok(Self { child, input, output: BufReader::new(output) })
    }

    /// Gives it a line.
    pub(super) fn say(&mut self, line: &str) -> Outcome {
        writeln!(self.input, "{line}")?;
        Ok(self.input.flush()?)
    }

    /// Its next line.
    pub(super) fn hear(&mut self) -> Outcome<String> {
        let mut line = String::new();
        if self.output.read_line(&mut line)? == 0 {
            return Err("the clients are gone".into());
        }
        Ok(line.trim_end().to_owned())
    }

    /// Its next line, which must be this one.
    pub(super) fn expect(&mut self, wanted: &str) -> Outcome {
        match self.hear()? {
            line if line == wanted => Ok(()),
            line => Err(format!("the clients say: {line}").into()),
        }
    }

    /// Its next lines, up to the line `end`.
    pub(super) fn list(&mut self) -> Outcome<Vec<String>> {
        let mut lines = Vec::new();
        loop {
            match self.hear()? {
                line if line == "end" => return Ok(lines),
                line => lines.push(line),
            }
        }
    }

    /// Waits until all that it says of its live queries (`states`) agrees, and still does a while later. Returns how many
    /// there are.
    pub(super) fn settle(&mut self, a_while: Duration, agrees: impl Fn(&str) -> bool) -> Outcome<usize> {
        let deadline = Instant::now() + PATIENCE;
        let mut agreed = false;
        loop {
            self.say("states")?;
            let states = self.list()?;
            if let Some(fault) = states.iter().find(|state| state.starts_with("fault")) {
                return Err(fault.clone().into());
            }
            let wrong: Vec<&String> = states.iter().filter(|state| !agrees(state)).collect();
            match wrong.first() {
                None if agreed => return Ok(states.len()),
                None => agreed = true,
                // The server may yet give up a client that has slept, never change one.
                Some(first) if agreed => return Err(format!("changed after all was over: {first}").into()),
                Some(first) if Instant::now() > deadline => {
                    let how_many = format!("{} of {}", wrong.len(), states.len());
                    return Err(format!("{how_many} live queries are wrong, the first: {first}").into());
                }
                Some(_) => {}
            }
            sleep(if agreed { a_while } else { Duration::from_millis(50) });
        }
    }

    /// Ends it without a word: its sockets break off as they are.
    pub(super) fn kill(mut self) -> Outcome {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
