//! Progress bars: on standard error, and only when it is a terminal and somebody reads text.

use std::io::IsTerminal;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::arguments::OutputFormat;

/// A bar that counts bytes; without a total it only tells how many came, and how fast.
pub(crate) fn bytes(format: OutputFormat, what: &str, total: Option<u64>) -> ProgressBar {
    let template = match total {
        Some(_) => "{msg} [{bar:30}] {bytes}/{total_bytes} {bytes_per_sec} {eta}",
        None => "{msg} {bytes} {bytes_per_sec} {elapsed}",
    };
    bar(format, what, total, template)
}

/// A bar that counts things.
pub(crate) fn count(format: OutputFormat, what: &str, total: Option<u64>) -> ProgressBar {
    let template = match total {
        Some(_) => "{msg} [{bar:30}] {human_pos}/{human_len} {per_sec} {eta}",
        None => "{msg} {human_pos} {per_sec} {elapsed}",
    };
    bar(format, what, total, template)
}

/// A bar of something that a server does, described by its message.
pub(crate) fn transfer(format: OutputFormat) -> ProgressBar {
    bar(format, "", Some(100), "[{bar:24}] {percent:>3} % {wide_msg}")
}

fn bar(format: OutputFormat, what: &str, total: Option<u64>, template: &str) -> ProgressBar {
    if format == OutputFormat::Json || !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = match total {
        Some(total) => ProgressBar::new(total),
        None => ProgressBar::no_length(),
    };
    bar.set_draw_target(ProgressDrawTarget::stderr_with_hz(8));
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    bar.set_style(style.progress_chars("=> "));
    bar.set_message(what.to_owned());
    bar.enable_steady_tick(Duration::from_millis(250));
    bar
}
