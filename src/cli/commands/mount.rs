//! Mounting: the command without a name.

use std::fs::File;
use std::process::ExitCode;
use std::sync::Arc;

use crate::blockstore::{Blockstore, Durability};
use crate::cli::args::MountArgs;
use crate::cli::config::{self, MountConfig};
use crate::cli::{log, mount_options, output};
use crate::datastore::Backend;
use crate::fs::Filesystem;
use crate::metrics::Metrics;
use crate::mount::{self, point};
use crate::sys::{self, Forked, Report, ServiceState, Starting};
use crate::{Error, Result};

/// Mounts, and serves the mount until it is unmounted; in the background, returns when it is ready.
pub(in crate::cli) fn run(args: MountArgs, quiet: bool) -> Result<ExitCode> {
    mount(args, quiet).inspect_err(|error| {
        sys::tell_service_manager(ServiceState::Failed(error.errno(), &error.to_string()));
    })
}

fn mount(args: MountArgs, quiet: bool) -> Result<ExitCode> {
    warn_of_refused_options(&args);
    let mut config = MountConfig::new(args)?;
    if config.fs.staging_bytes_max < config.fs.block_bytes_max {
        tracing::warn!(
            "--max-staging is smaller than --max-block-size: larger blocks than that cannot be written"
        );
    }
    sys::set_umask(config::UMASK);
    check_mount_point(&mut config)?;
    if !quiet {
        say_what_is_volatile(&config);
    }
    if config.fake {
        return Ok(ExitCode::SUCCESS);
    }
    let mut announcer = match start(&config)? {
        Start::Here(announcer) => announcer,
        Start::Background(code) => return Ok(code),
    };
    let served = open_and_serve(config, &mut announcer);
    announcer.conclude(served)
}

/// A caller such as mount(8) adds `dev,suid` of itself, and need not hear of them.
fn warn_of_refused_options(args: &MountArgs) {
    let by_helper = args.places.len() > 1;
    for name in mount_options::refused(&args.options) {
        if by_helper {
            tracing::debug!(option = name, "mount option ignored");
        } else {
            tracing::warn!(option = name, "mount option ignored: the mount is always nosuid and nodev");
        }
    }
}

fn check_mount_point(config: &mut MountConfig) -> Result<()> {
    let named = config::absolute(&config.serve.mount_point)?;
    if config.log_file.as_ref().is_some_and(|log| log.starts_with(&named)) {
        return Err(Error::Usage {
            what: format!("the log file would be inside the mount {}", named.display()),
            hint: "choose a --log-file outside of the mount point".to_owned(),
        });
    }
    let path = point::check(
        &config.serve.mount_point,
        config.serve.allow_non_empty,
        config.store.data_path.as_deref(),
    )?;
    config.store.mount_point = Some(path.clone());
    config.serve.mount_point = path;
    Ok(())
}

fn say_what_is_volatile(config: &MountConfig) {
    let Some(backend) = config.store.backend.filter(|row| row.default_path.is_none()) else { return };
    let untouched = match &config.unused_data_path {
        Some(path) => format!("; the data path {} is left untouched", path.display()),
        None => String::new(),
    };
    output::notice(&format!(
        "the backend {} persists nothing: every block is gone after the unmount{untouched}",
        backend.name
    ));
}

fn say_what_is_not_power_safe(backend: &Backend) {
    if backend.durable && !backend.power_safe {
        tracing::warn!(
            "the backend {} is not safe against power cuts: blocks whose close succeeded may be lost in one",
            backend.name
        );
    }
}

fn say_what_is_not_relaxed(backend: &Backend, asked: Durability) {
    if backend.durable && asked.on(backend) != asked {
        tracing::warn!(
            "the backend {} has no relaxed mode, since a killed process would lose what it has not synced: every \
             block is synced at its close",
            backend.name
        );
    }
}

enum Start {
    /// This process serves the mount.
    Here(Announcer),
    /// Another one does, or has failed to.
    Background(ExitCode),
}

fn start(config: &MountConfig) -> Result<Start> {
    if !config.background {
        return Ok(Start::Here(Announcer { starting: None, log: None }));
    }
    let log = config.log_file.as_deref().map(log::open).transpose()?;
    Ok(match sys::daemonize()? {
        Forked::Child(starting) => Start::Here(Announcer { starting: Some(starting), log }),
        Forked::Parent(report) => Start::Background(pass_on(&report)),
    })
}

/// Says what the process in the background has reported. A service manager still takes this process for
/// the service, and believes no other.
fn pass_on(report: &Report) -> ExitCode {
    if report.exit == 0 {
        sys::tell_service_manager(ServiceState::Ready(report.pid, &report.text));
    } else {
        sys::tell_service_manager(ServiceState::Failed(report.errno, output::without_program(&report.text)));
        output::to_stderr(&report.text);
    }
    ExitCode::from(report.exit)
}

/// Opens the store, mounts it, and serves it until it is unmounted and closed.
fn open_and_serve(mut config: MountConfig, announcer: &mut Announcer) -> Result<()> {
    sys::expect_signals()?;
    sys::save_address_space();
    mount::check_memory()?;
    if let Err(error) = sys::raise_nofile_limit() {
        tracing::warn!(%error, "going on with fewer open files");
    }
    let store = Blockstore::open(&config.store, Arc::new(Metrics::default()))?;
    config.serve.source = config::source(store.info());
    say_what_is_not_power_safe(store.info().backend);
    say_what_is_not_relaxed(store.info().backend, config.store.durability);
    let filesystem = Filesystem::new(store, config.fs);
    mount::serve(filesystem, &config.serve, || {
        let what = format!("mounted {} at {}", config.serve.source, config.serve.mount_point.display());
        tracing::info!("{what}");
        announcer.ready(&what)
    })
}

/// Tells whoever waits that the mount is ready, or why it will not be.
struct Announcer {
    /// Set in a background process that has not reported yet.
    starting: Option<Starting>,
    log: Option<File>,
}

impl Announcer {
    fn ready(&mut self, what: &str) -> Result<()> {
        match self.starting.take() {
            Some(starting) => starting.ready(self.log.take(), what),
            None => {
                sys::tell_service_manager(ServiceState::Ready(std::process::id(), what));
                Ok(())
            }
        }
    }

    /// An error before readiness goes to the waiting parent, a later one to the log.
    fn conclude(self, result: Result<()>) -> Result<ExitCode> {
        match (result, self.starting) {
            (Ok(()), _) => Ok(ExitCode::SUCCESS),
            (Err(error), None) => Err(error),
            (Err(error), Some(starting)) => {
                let exit = output::exit_code(&error);
                starting.failed(exit, error.errno(), &output::error_text(&error));
                Ok(ExitCode::from(exit))
            }
        }
    }
}
