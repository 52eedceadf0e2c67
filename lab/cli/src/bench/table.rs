//! The table that a person reads.

use super::{Cost, Ratio, Summary};
use crate::quantity::count;
use crate::table::{Align, Table};

/// The screen of `lwf-lab bench`.
pub fn render(summary: &Summary) -> String {
    let is_pair = summary.images.len() == 2;
    let mut columns = vec![
        ("packets", Align::Left),
        ("bytes", Align::Right),
        ("batch", Align::Right),
        ("buffers", Align::Left),
        ("no filter", Align::Right),
    ];
    for _ in &summary.images {
        columns.extend(
            ["raw", "lab", "net", "error", "spread", "calls"].map(|name| (name, Align::Right)),
        );
    }
    if is_pair {
        columns.extend([
            ("ratio", Align::Right),
            ("spread", Align::Right),
            ("5 %", Align::Left),
        ]);
    }
    let mut table = Table::new(&columns);
    for row in &summary.rows {
        let mut cells = vec![
            row.load.direction().to_owned(),
            row.load.bytes.to_string(),
            row.load.batch.to_string(),
            row.load.buffers().to_owned(),
            format!("{:.1}", row.without_filter_ns),
        ];
        for cost in &row.costs {
            cells.extend([
                format!("{:.1}", cost.raw_ns),
                format!("{:.1}", cost.lab_ns),
                net(cost),
                format!("{:.1}", cost.error_ns),
                if cost.is_above_error() {
                    percent(cost.net.spread)
                } else {
                    "-".to_owned()
                },
                format!("{:.2}", cost.imports),
            ]);
        }
        if is_pair {
            cells.extend(told(row.ratio));
        }
        table.row(cells);
    }
    let mut out = format!(
        "{} - ns per packet, {} repetitions of {} {}, samples of {} ms; {}\n\n",
        summary.images.join(" against "),
        summary.repetitions,
        summary.turns,
        if is_pair { "turns" } else { "samples" },
        summary.sample_ms,
        summary.processor
    );
    table.write(&mut out);
    if is_pair {
        out.push_str(
            "\nFigures of the first image, then those of the second. No ratio where the lab has more than half of the raw time, or a net is less than its error.\n",
        );
        out.push_str(&undecided(summary));
    }
    if summary.discarded > 0 {
        out.push_str(&format!(
            "\nTaken again, as other processes interrupted them: {} samples.\n",
            count(summary.discarded)
        ));
    }
    out
}

/// A net cost, or that it is less than its error.
fn net(cost: &Cost) -> String {
    if cost.is_above_error() {
        format!("{:.1}", cost.net.median)
    } else {
        // What is below 0 by more than the error is told as it is: something is wrong with the measurement.
        let bound = cost.error_ns.max(0.1);
        if cost.net.median < -bound {
            format!("{:.1}", cost.net.median)
        } else {
            format!("< {bound:.1}")
        }
    }
}

/// The cells of a ratio.
fn told(ratio: Option<Ratio>) -> [String; 3] {
    match ratio {
        Some(ratio) => [
            format!("{:.3}", ratio.median),
            percent(ratio.spread),
            if ratio.decides() {
                "decided".to_owned()
            } else {
                format!("too wide (\u{b1}{})", percent(ratio.spread + ratio.doubt))
            },
        ],
        None => ["-".to_owned(), String::new(), String::new()],
    }
}

/// In how many loads 5 % cannot be decided.
fn undecided(summary: &Summary) -> String {
    let ratios = || summary.rows.iter().filter_map(|row| row.ratio);
    let wide = ratios().filter(|ratio| !ratio.decides()).count();
    if wide == 0 {
        return String::new();
    }
    format!(
        "{wide} of {} ratios are too wide to decide a difference of 5 %: their spread, with what is not known of the lab's own part, is more than that.\n",
        ratios().count()
    )
}

fn percent(part: f64) -> String {
    format!("{:.1} %", 100.0 * part)
}
