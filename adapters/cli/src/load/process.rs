//! Memory, CPU and the listeners on a port, as the system tells them about processes. All of it is read from
//! `/proc`; where there is none, nothing is known.

use std::fs;
use std::net::SocketAddr;
use std::time::Instant;

/// Times in `/proc` are in hundredths of a second (`USER_HZ`, which is 100 wherever Linux runs today).
const TICKS: f64 = 100.0;

/// A process at one moment.
#[derive(Debug, Clone, Copy)]
pub struct Usage {
    /// Resident memory, in bytes.
    pub rss: u64,
    /// The most that it ever had.
    pub peak: u64,
    /// CPU time that it used, in seconds.
    cpu: f64,
    at: Instant,
}

impl Usage {
    /// A process as it is now, where the system says.
    pub fn of(pid: u32) -> Option<Usage> {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        Some(Usage {
            rss: number(&status, "VmRSS:")? * 1024,
            peak: number(&status, "VmHWM:")? * 1024,
            cpu: cpu_seconds(&stat)?,
            at: Instant::now(),
        })
    }

    /// How many cores it used since then, on average.
    pub fn cores_since(&self, earlier: &Usage) -> f64 {
        let time = self.at.saturating_duration_since(earlier.at).as_secs_f64();
        (self.cpu - earlier.cpu).max(0.0) / time.max(0.001)
    }
}

fn number(status: &str, name: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

/// The name of the program stands in parentheses and may contain anything, so counting begins behind them.
fn cpu_seconds(stat: &str) -> Option<f64> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace().skip(11);
    let (user, system): (f64, f64) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    Some((user + system) / TICKS)
}

/// All CPU time of the machine: busy, and in all.
#[derive(Debug, Clone, Copy)]
pub struct Machine {
    busy: f64,
    all: f64,
}

impl Machine {
    /// As it is now, where the system says.
    pub fn now() -> Option<Machine> {
        let stat = fs::read_to_string("/proc/stat").ok()?;
        let line = stat.lines().next()?.strip_prefix("cpu ")?;
        let times: Vec<f64> = line.split_whitespace().take(8).map_while(|time| time.parse().ok()).collect();
        let all = times.iter().sum();
        let idle: f64 = times.get(3..5)?.iter().sum();
        Some(Machine { busy: all - idle, all })
    }

    /// The part of it that was busy since then, from 0 to 1.
    pub fn busy_since(&self, earlier: &Machine) -> f64 {
        ((self.busy - earlier.busy) / (self.all - earlier.all).max(0.01)).clamp(0.0, 1.0)
    }
}

/// How often threads of this process gave up the CPU because they had nothing to do.
pub fn waits() -> u64 {
    let threads = fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let of = |thread: fs::DirEntry| {
        let status = fs::read_to_string(thread.path().join("status")).ok()?;
        number(&status, "voluntary_ctxt_switches:")
    };
    threads.filter_map(of).sum()
}

/// Raises the number of files that this process may have open as far as it goes. Returns what it is then; `None` where
/// there is no limit, or none is known.
pub fn raise_open_files() -> Option<usize> {
    liveset_server::files::raise()
}

/// The process that listens on an address of this machine, if it is ours to see.
pub fn listener(address: SocketAddr) -> Option<u32> {
    if !address.ip().is_loopback() {
        // It may be ours, but a name for another machine's port would be a lie.
        let local = std::net::UdpSocket::bind((address.ip(), 0));
        local.ok()?;
    }
    let inode = ["/proc/net/tcp", "/proc/net/tcp6"]
        .iter()
        .filter_map(|file| fs::read_to_string(file).ok())
        .find_map(|table| listening_inode(&table, address.port()))?;
    let wanted = format!("socket:[{inode}]");
    let processes = fs::read_dir("/proc").ok()?.flatten();
    processes.filter_map(|process| process.file_name().to_str()?.parse().ok()).find(|pid: &u32| {
        let files = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
        let mut links = files.filter_map(|file| fs::read_link(file.path()).ok());
        links.any(|link| link.as_os_str() == wanted.as_str())
    })
}

fn listening_inode(table: &str, port: u16) -> Option<u64> {
    const LISTEN: &str = "0A";
    let port = format!(":{port:04X}");
    table.lines().skip(1).find_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let is_it = fields.get(1)?.ends_with(&port) && *fields.get(3)? == LISTEN;
        if is_it { fields.get(9)?.parse().ok() } else { None }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_of_the_system_are_read() {
        let stat = "12 (a) b) S 1 2 3 4 5 6 7 8 9 10 150 50 0 0 20 0";
        assert_eq!(cpu_seconds(stat), Some(2.0));
        assert_eq!(cpu_seconds("12 (a"), None);
        let status = "Name:\tx\nVmHWM:\t  2048 kB\nVmRSS:\t    1024 kB\n";
        assert_eq!((number(status, "VmRSS:"), number(status, "VmHWM:")), (Some(1024), Some(2048)));
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n   \
                     0: 0100007F:1F90 0100007F:C350 01 00000000:00000000 00:00000000 00000000  1000        0 77 1\n   \
                     1: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 88 1\n";
        assert_eq!(listening_inode(table, 8080), Some(88));
        assert_eq!(listening_inode(table, 80), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn our_own_process_is_found() {
        let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        assert_eq!(listener(socket.local_addr().unwrap()), Some(std::process::id()));
        let usage = Usage::of(std::process::id()).unwrap();
        assert!(usage.rss > 0 && usage.peak >= usage.rss && usage.cores_since(&usage) == 0.0);
        let machine = Machine::now().unwrap();
        assert!((0.0..=1.0).contains(&machine.busy_since(&machine)));
    }
}
