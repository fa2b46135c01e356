//! A table whose columns are as wide as what stands in them; Chinese and Japanese take two places a character.

use console::{Alignment, measure_text_width, pad_str, style};

/// What stands in a column: words to the left, figures to the right.
pub(crate) enum Cell {
    Word(String),
    Figure(String),
}

impl Cell {
    pub(crate) fn word(text: impl Into<String>) -> Self {
        Self::Word(text.into())
    }

    pub(crate) fn figure(text: impl Into<String>) -> Self {
        Self::Figure(text.into())
    }

    fn text(&self) -> &str {
        match self {
            Self::Word(text) | Self::Figure(text) => text,
        }
    }

    fn padded(&self, width: usize) -> String {
        let side = match self {
            Self::Word(_) => Alignment::Left,
            Self::Figure(_) => Alignment::Right,
        };
        pad_str(self.text(), width, side, None).into_owned()
    }
}

/// Rows below a header.
pub(crate) struct Table {
    header: Vec<&'static str>,
    rows: Vec<Vec<Cell>>,
    /// Whether the last row sums up the others.
    has_total: bool,
}

impl Table {
    pub(crate) fn new(header: &[&'static str]) -> Self {
        Self {
            header: header.to_vec(),
            rows: Vec::new(),
            has_total: false,
        }
    }

    pub(crate) fn row(&mut self, cells: Vec<Cell>) {
        self.rows.push(cells);
    }

    /// The last row, below a rule.
    pub(crate) fn total(&mut self, cells: Vec<Cell>) {
        self.row(cells);
        self.has_total = true;
    }

    /// The lines to print.
    pub(crate) fn lines(&self) -> Vec<String> {
        let widths: Vec<usize> = (0..self.header.len()).map(|column| self.width(column)).collect();
        let whole = widths.iter().sum::<usize>() + 2 * widths.len().saturating_sub(1);
        let rule = style("─".repeat(whole)).dim().to_string();
        let mut lines = Vec::with_capacity(self.rows.len() + 3);
        if self.header.iter().any(|name| !name.is_empty()) {
            lines.push(style(self.header_line(&widths)).dim().to_string());
            lines.push(rule.clone());
        }
        for (n, row) in self.rows.iter().enumerate() {
            if self.has_total && n + 1 == self.rows.len() {
                lines.push(rule.clone());
            }
            let cells = row.iter().zip(&widths).map(|(cell, width)| cell.padded(*width));
            lines.push(cells.collect::<Vec<_>>().join("  ").trim_end().to_owned());
        }
        lines
    }

    fn width(&self, column: usize) -> usize {
        let cells = self.rows.iter().filter_map(|row| row.get(column));
        let widest = cells
            .map(|cell| measure_text_width(cell.text()))
            .max()
            .unwrap_or(0);
        widest.max(self.header.get(column).map_or(0, |name| measure_text_width(name)))
    }

    /// Names stand where what they name stands.
    fn header_line(&self, widths: &[usize]) -> String {
        let names = self
            .header
            .iter()
            .zip(widths)
            .enumerate()
            .map(
                |(column, (name, width))| match self.rows.first().and_then(|row| row.get(column)) {
                    Some(Cell::Figure(_)) => Cell::figure(*name).padded(*width),
                    _ => Cell::word(*name).padded(*width),
                },
            );
        names.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wide_characters_keep_the_columns_straight() {
        let mut table = Table::new(&["member", "friends"]);
        table.row(vec![Cell::word("小梅"), Cell::figure("600")]);
        table.total(vec![Cell::word("all"), Cell::figure("1,200")]);
        console::set_colors_enabled(false);
        assert_eq!(
            table.lines(),
            [
                "member  friends",
                "───────────────",
                "小梅        600",
                "───────────────",
                "all       1,200",
            ]
        );
    }
}
