//! `hoist`: the control process, the router, git's hooks and the local client, in one binary.

use hoist::cli::{self, Job};
use std::io::Write;
use std::net::{IpAddr, UdpSocket};
use std::process::ExitCode;
use system::settings::Settings;

/// EX_USAGE: the configuration is wrong.
const USAGE: u8 = 64;
/// EX_SOFTWARE: it could not go on.
const FAILED: u8 = 70;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let cores = std::thread::available_parallelism().map_or(1, |n| n.get() as u64);
    match cli::read(&words, |name| std::env::var(name).ok(), cores) {
        Ok(Job::Serve(settings)) => serve(*settings),
        Ok(Job::Router(settings)) => router(*settings),
        Ok(Job::Hook(name)) => ExitCode::from(git::hook_main(&name)),
        Ok(Job::Limited(words)) => ExitCode::from(system::restrictions::main(&words)),
        Ok(Job::Command(data, argv)) => ExitCode::from(hoist::admin::run_command(&data, &argv)),
        Ok(Job::Hosting(asked)) => {
            let hosting = domain::hosting::choose(asked.as_deref(), way_out());
            say(&format!("{}\n{}\n{}", hosting.base_domain, hosting.ssh_host, hosting.remark));
            ExitCode::SUCCESS
        }
        Ok(Job::SshKeys(data, fingerprint)) => ExitCode::from(hoist::admin::authorized_keys(&data, &fingerprint)),
        Ok(Job::SshSession(socket, ticket)) => ExitCode::from(hoist::admin::run_session(&socket, &ticket)),
        Ok(Job::SshdConfig(data, user)) => sshd_config(&data, &user),
        Ok(Job::Builder(place)) => failed(&builder::daemon::enter::enter(&place).chain()),
        Ok(Job::ForgetSecrets(data)) => match hoist::forget::forget_secrets(&data) {
            Ok(said) => {
                say(&said);
                ExitCode::SUCCESS
            }
            Err(fault) => failed(&fault.chain()),
        },
        Ok(Job::Print(text)) => {
            say(text.trim_end());
            ExitCode::SUCCESS
        }
        Err(mistakes) => {
            for mistake in mistakes {
                eprintln!("hoist: {mistake}");
            }
            ExitCode::from(USAGE)
        }
    }
}

/// The address that this machine uses towards the internet: connecting a datagram socket asks the route table, and
/// sends nothing.
fn way_out() -> Option<IpAddr> {
    let ask = |own: &str, there: &str| {
        let socket = UdpSocket::bind((own, 0)).ok()?;
        socket.connect((there, 53)).ok()?;
        Some(socket.local_addr().ok()?.ip())
    };
    // Addresses for documentation: nobody's, so they take the default route.
    ask("0.0.0.0", "198.51.100.1").or_else(|| ask("::", "2001:db8::1"))
}

fn sshd_config(data: &std::path::Path, user: &str) -> ExitCode {
    let program = std::env::current_exe().unwrap_or_default();
    let user = match system::settings::host_user(user) {
        Ok(user) => user,
        Err(why) => return failed(&format!("{user} is not valid: {why}")),
    };
    match domain::share::drop_in(&user, &program.to_string_lossy(), &data.to_string_lossy()) {
        Ok(text) => {
            say(text.trim_end());
            ExitCode::SUCCESS
        }
        Err(no) => failed(&no.lines().join("\nhoist: ")),
    }
}

fn say(line: &str) {
    let mut out = std::io::stdout();
    let _ = writeln!(out, "{line}");
    let _ = out.flush();
}

fn log_to_stderr() {
    let filter = tracing_subscriber::EnvFilter::try_from_env("HOIST_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info,russh=warn"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(false).init();
}

/// How the C library keeps memory, by its own variables: read before `main`, so that they need a new start. Unset, each
/// thread keeps an arena of its own (80 MB kept after a few pushes of 50,000 files, 27 MB so).
const MEMORY: [(&str, &str); 3] =
    [("MALLOC_ARENA_MAX", "1"), ("MALLOC_TRIM_THRESHOLD_", "131072"), ("MALLOC_MMAP_THRESHOLD_", "65536")];

/// Becomes the same program, same process id, with [`MEMORY`] set; goes on as it is where that cannot be.
fn start_again_frugal() {
    use std::os::unix::process::CommandExt;
    let mut words = std::env::args_os();
    let (Some(name), Ok(program)) = (words.next(), std::env::current_exe()) else { return };
    if std::env::var_os(MEMORY[0].0).is_some() {
        return;
    }
    #[allow(clippy::disallowed_methods, reason = "nothing is spawned: this process goes on as itself")]
    let err = std::process::Command::new(program).arg0(name).args(words).envs(MEMORY).exec();
    eprintln!("hoist: goes on with the memory settings it has: {err}");
}

fn serve(settings: Settings) -> ExitCode {
    start_again_frugal();
    log_to_stderr();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .max_blocking_threads(16)
        .thread_stack_size(1024 * 1024)
        .enable_all()
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(err) => return failed(&format!("cannot start: {err}")),
    };
    let done = runtime.block_on(hoist::serve::serve(settings, say));
    runtime.shutdown_timeout(std::time::Duration::from_secs(2));
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(system::fault::Error::Fault(fault)) => failed(&fault.chain()),
        Err(err) => failed(&err.lines().join("\nhoist: ")),
    }
}

fn router(settings: Settings) -> ExitCode {
    log_to_stderr();
    match hoist::dataplane::run(&settings, say) {
        Ok(()) => ExitCode::SUCCESS,
        Err(fault) => failed(&fault.chain()),
    }
}

fn failed(why: &str) -> ExitCode {
    eprintln!("hoist: {why}");
    ExitCode::from(FAILED)
}
