//! The table that a person reads.

use super::{Figure, Summary};
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
        columns.extend(["raw", "lab", "net", "spread", "calls"].map(|name| (name, Align::Right)));
    }
    if is_pair {
        columns.extend([("ratio", Align::Right), ("spread", Align::Right)]);
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
                format!("{:.1}", cost.net.median),
                percent(cost.net),
                format!("{:.2}", cost.imports),
            ]);
        }
        if is_pair {
            let told = row
                .ratio
                .map(|ratio| [format!("{:.3}", ratio.median), percent(ratio)]);
            cells.extend(told.unwrap_or_else(|| ["-".to_owned(), String::new()]));
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
        out.push_str("\nFigures of the first image, then those of the second. No ratio where the lab has more than half of the raw time.\n");
    }
    if summary.discarded > 0 {
        out.push_str(&format!(
            "\nTaken again, as other processes interrupted them: {} samples.\n",
            count(summary.discarded)
        ));
    }
    out
}

fn percent(figure: Figure) -> String {
    format!("{:.1} %", 100.0 * figure.spread)
}
