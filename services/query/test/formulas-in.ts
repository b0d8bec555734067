// What a spreadsheet makes of a CSV file, by a reader and an engine that are not ours: Papa Parse cuts it into cells, IronCalc says which
// of them it would compute. IronCalc takes `=`, `+` and `-` for the beginning of a formula, as Excel does; `@`, which Excel takes as well,
// and full-width signs it takes for text, as LibreOffice does.
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { initSync, Model } from '@ironcalc/wasm';
import Papa from 'papaparse';

initSync({ module: readFileSync(fileURLToPath(import.meta.resolve('@ironcalc/wasm/wasm_bg.wasm'))) });

/** Rows of cells, as the file means them. */
export const parseCsv = (csv: string): string[][] =>
  Papa.parse<string[]>(csv, { delimiter: ',', newline: '\r\n', skipEmptyLines: true }).data;

/** Comma as it is meant; semicolon where the locale has a decimal comma; tab and bar where somebody chose them. */
export const SEPARATORS = [',', ';', '\t', '|'] as const;

/** Cells that are computed when the file is opened with a separator, be it only once blanks and quotes before them are taken away. */
export function formulasIn(csv: string, delimiter: (typeof SEPARATORS)[number]): string[] {
  // With a separator that is not the file's, quotes do not begin cells, so every line break ends a row.
  const { data } =
    delimiter === ','
      ? { data: parseCsv(csv) }
      : Papa.parse<string[]>(csv.replaceAll(/\r\n?/g, '\n'), { delimiter, newline: '\n' });
  const sheet = new Model('judge', 'en', 'UTC', 'en');
  const isFormula = (input: string): boolean => {
    sheet.setUserInput(0, 1, 1, input);
    return sheet.getCellContent(0, 1, 1).startsWith('=');
  };
  return [...new Set(data.flat())].filter((cell) =>
    [cell, cell.trim(), cell.replace(/^[\s"]+/, '')].some(isFormula),
  );
}
