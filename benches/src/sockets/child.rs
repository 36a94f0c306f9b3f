//! A process of our own that is told what to do by lines, and answers in lines.

use std::{
    io::{BufRead, BufReader, Write},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use super::Outcome;

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
