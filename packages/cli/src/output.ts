import { styleText } from 'node:util';
import { visible } from '@cairn/session';

/** How one command speaks: data on standard output, everything else on standard error. */
export interface Output {
  readonly json: boolean;
  readonly color: boolean;
  /** Columns of the terminal. */
  readonly width: number;
  /** Data for people; silent under `--json`. */
  line(text?: string): void;
  /** Data for programs; silent without `--json`. One value, one line. */
  value(value: unknown): void;
  /** A remark that is not data. */
  note(text: string): void;
  paint(style: Parameters<typeof styleText>[0], text: string): string;
}

export function createOutput(options: { json: boolean; color: boolean }): Output {
  const color = options.color && !options.json;
  return {
    json: options.json,
    color,
    width: Math.max(60, Math.min(process.stdout.columns ?? 100, 160)),
    line: (text = '') => {
      if (!options.json) process.stdout.write(`${text}\n`);
    },
    value: (value) => {
      if (options.json) process.stdout.write(`${JSON.stringify(value)}\n`);
    },
    note: (text) => process.stderr.write(`${text}\n`),
    paint: (style, text) => (color ? styleText(style, text, { validateStream: false }) : text),
  };
}

/**
 * A table with columns as wide as they need to be. Cells come from agents and tools, so what could move the cursor or
 * reorder the text is shown as an escape.
 */
export function tableOf(header: readonly string[], rows: readonly (readonly string[])[]): string[] {
  const cells = [header, ...rows.map((row) => row.map(visible))];
  const widths = header.map((_, column) => Math.max(...cells.map((row) => (row[column] ?? '').length)));
  return cells.map((row) =>
    row
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join('  ')
      .trimEnd(),
  );
}
