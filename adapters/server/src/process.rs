//! What the system knows of this process, as metrics of the names that Prometheus has for them.

use std::fmt::Write as _;
use std::fs;

/// Ticks of a second in `/proc`: 100 on every Linux.
const TICKS: f64 = 100.0;

/// The metrics as Prometheus text; without `/proc`, nothing. Costs a look at each open file.
pub(crate) fn render() -> String {
    let read = |file: &str| fs::read_to_string(file).ok();
    let mut text = String::new();
    let mut write = |name: &str, kind: &str, help: &str, value: Option<f64>| {
        if let Some(value) = value {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}\n");
        }
    };
    let stat = read("/proc/self/stat").and_then(|stat| Stat::read(&stat));
    let status = read("/proc/self/status").unwrap_or_default();
    let bytes = |name| number(&status, name).map(|kib| kib * 1024.0);
    let files = fs::read_dir("/proc/self/fd").ok().map(|files| files.count() as f64);
    let limits = read("/proc/self/limits").unwrap_or_default();
    let boot = read("/proc/stat").and_then(|stat| number(&stat, "btime"));
    let start = stat.as_ref().and_then(|stat| Some(boot? + stat.start));
    write("process_cpu_seconds_total", "counter", "CPU time in seconds", stat.as_ref().map(|stat| stat.cpu));
    write("process_start_time_seconds", "gauge", "Start of the process, in seconds since 1970", start);
    write("process_resident_memory_bytes", "gauge", "Memory that is resident", bytes("VmRSS:"));
    write("process_virtual_memory_bytes", "gauge", "Memory that is mapped", bytes("VmSize:"));
    write("process_threads", "gauge", "Threads", number(&status, "Threads:"));
    write("process_open_fds", "gauge", "Open files and sockets", files);
    write(
        "process_max_fds",
        "gauge",
        "Files and sockets that may be open",
        number(&limits, "Max open files"),
    );
    text
}

/// The number that follows a name at the beginning of a line.
fn number(text: &str, name: &str) -> Option<f64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

/// Times of the process, in seconds.
#[derive(Debug, PartialEq)]
struct Stat {
    cpu: f64,
    /// Since the machine started.
    start: f64,
}

impl Stat {
    fn read(stat: &str) -> Option<Stat> {
        // The name of the program stands in parentheses and may contain anything.
        let (_, fields) = stat.rsplit_once(')')?;
        let fields: Vec<&str> = fields.split_whitespace().collect();
        let ticks = |field: usize| fields.get(field)?.parse::<f64>().ok();
        Some(Stat { cpu: (ticks(11)? + ticks(12)?) / TICKS, start: ticks(19)? / TICKS })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_stand_behind_a_name_that_may_contain_anything() {
        let stat = "7 (a) b 1) S 1 7 7 0 -1 4194304 100 0 0 0 250 50 0 0 20 0 4 0 12345 1000 200 18446744073709551615";
        assert_eq!(Stat::read(stat), Some(Stat { cpu: 3.0, start: 123.45 }));
        assert_eq!(Stat::read("7 (a) S 1"), None);
        assert_eq!(number("VmSize:\t  12 kB\nVmRSS:\t   34 kB\n", "VmRSS:"), Some(34.0));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn all_of_them_are_there() {
        let text = render();
        for name in [
            "process_cpu_seconds_total",
            "process_start_time_seconds",
            "process_resident_memory_bytes",
            "process_virtual_memory_bytes",
            "process_threads",
            "process_open_fds",
            "process_max_fds",
        ] {
            let value = number(&text, &format!("{name} "));
            assert!(value.is_some_and(|value| value >= 0.0), "{name} in {text}");
        }
    }
}
