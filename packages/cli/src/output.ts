import { once } from 'node:events';
import type { Writable } from 'node:stream';
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
  /** Data as it came, for both. Resolves when there is room for more. */
  bytes(chunk: Uint8Array): Promise<void>;
  /** A remark that is not data. */
  note(text: string): void;
  paint(style: Parameters<typeof styleText>[0], text: string): string;
}

export interface Streams {
  readonly stdout: Writable & { readonly columns?: number };
  readonly stderr: Writable;
}

export function createOutput(
  { stdout, stderr }: Streams,
  options: { json: boolean; color: boolean },
): Output {
  const color = options.color && !options.json;
  return {
    json: options.json,
    color,
    width: Math.max(60, Math.min(stdout.columns ?? 100, 160)),
    line: (text = '') => {
      if (!options.json) stdout.write(`${text}\n`);
    },
    value: (value) => {
      if (options.json) stdout.write(`${JSON.stringify(value)}\n`);
    },
    bytes: async (chunk) => {
      if (!stdout.write(chunk)) await once(stdout, 'drain');
    },
    note: (text) => stderr.write(`${text}\n`),
    paint: (style, text) => (color ? styleText(style, text, { validateStream: false }) : text),
  };
}

/** What a list of `--limit` rows says when one more was read than it shows. */
export function noteMore(output: Pick<Output, 'note'>, read: number, limit: number): void {
  if (read > limit) output.note(`There are more than these ${limit}: --limit shows more of them.`);
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
