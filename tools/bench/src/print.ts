import { type Column, holds, type Measured, spreadOf } from './measured.ts';

/** The result as a table for people: medians, with the least and the most in brackets. */
export function print(measured: Measured): string {
  const head = ['', ...measured.columns.map(({ heading }) => heading)];
  const body = measured.rows.map(({ name, figures }) => [
    name,
    ...measured.columns.map((column) => cell(column, figures[column.name] ?? [])),
  ]);
  const widths = head.map((_, index) => Math.max(...[head, ...body].map((row) => row[index]?.length ?? 0)));
  const line = (row: readonly string[]): string =>
    row
      .map((text, index) => (index === 0 ? text.padEnd(widths[0]!) : text.padStart(widths[index]!)))
      .join('   ');
  const claims = measured.claims.map(
    (claim) =>
      `${holds(claim) ? 'holds ' : 'FAILS '} ${claim.what}: ${round(claim.measured)}, ${claim.wanted} ${claim.limit}`,
  );
  return [
    measured.question,
    '',
    line(head),
    ...body.map(line),
    '',
    ...claims,
    ...measured.notes.map((note) => `- ${note}`),
  ].join('\n');
}

function cell({ digits }: Column, figures: readonly number[]): string {
  if (figures.length === 0) return '·';
  const { median, least, most } = spreadOf(figures);
  const text = (value: number): string =>
    value.toLocaleString('en-US', { minimumFractionDigits: digits, maximumFractionDigits: digits });
  return figures.length === 1 ? text(median) : `${text(median)} (${text(least)}–${text(most)})`;
}

const round = (value: number): number => Number(value.toPrecision(3));
