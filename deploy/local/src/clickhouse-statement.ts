const LEAD = String.raw`^(?:\s|--[^\n]*\n|/\*(?:[^*]|\*(?!/))*\*/)*`;
const INSERT = new RegExp(`${LEAD}INSERT\\b`, 'i');
const INSERT_THAT_ENDS_WITH_FORMAT = new RegExp(
  String.raw`${LEAD}INSERT\b[\s\S]*?\b(?:FORMAT\s+(\w+)|(VALUES))\s*;?\s*$`,
  'i',
);
const INSERT_UP_TO_FORMAT = new RegExp(String.raw`${LEAD}INSERT\b[\s\S]*?\bFORMAT\s+\w+[^\S\n]*\n?`, 'i');
const INPUT = /\binput\s*\(/i;

export function isInsert(sql: string): boolean {
  return INSERT.test(sql);
}

/** True for an INSERT whose rows come after it: it ends with their format and does not select them itself. */
export function takesRows(sql: string): boolean {
  return INSERT_THAT_ENDS_WITH_FORMAT.test(sql) && (INPUT.test(sql) || !/\bSELECT\b/i.test(sql));
}

/**
 * Parts a body that holds an INSERT and its rows, which may be binary: they begin after the format's name and one line
 * break. Undefined when the body is a statement alone.
 */
export function splitInsert(body: Buffer): { sql: string; rows: Buffer } | undefined {
  // One character is one byte, so that places in the text are places in the body.
  const beginning = body.toString('latin1', 0, STATEMENT_BYTES_MAX);
  const length = INSERT_UP_TO_FORMAT.exec(beginning)?.[0].length ?? body.length;
  const sql = body.toString('utf8', 0, length);
  const insideText = (sql.match(/'/g) ?? []).length % 2 === 1;
  if (length === body.length || insideText || !takesRows(sql)) return undefined;
  return { sql, rows: body.subarray(length) };
}

const STATEMENT_BYTES_MAX = 256 * 1024;

/**
 * The embedded engine cannot be handed rows beside a statement, and has no `input()`: the rows are in a file and the
 * statement is turned to read it.
 *
 * - `INSERT INTO t SELECT … FROM input('a Int8') … FORMAT Avro` → `… FROM file('<file>', 'Avro', 'a Int8') …`
 * - `INSERT INTO t (a) FORMAT Native` → `INSERT INTO t (a) FROM INFILE '<file>' FORMAT Native`
 */
export function insertFromFile(sql: string, file: string): string {
  const [, named, values] = INSERT_THAT_ENDS_WITH_FORMAT.exec(sql) ?? [];
  const format = named ?? values ?? '';
  const before = sql.replace(/\b(?:FORMAT\s+\w+|VALUES)\s*;?\s*$/i, '').trimEnd();
  if (INPUT.test(before)) {
    return before.replace(INPUT, () => `file(${literal(file)}, ${literal(format)}, `);
  }
  // INFILE stands before the settings of the statement.
  const settings = /\bSETTINGS\b[\s\S]*$/i.exec(before)?.[0] ?? '';
  const head = before.slice(0, before.length - settings.length).trimEnd();
  return `${head} FROM INFILE ${literal(file)} ${settings} FORMAT ${format}`;
}

/** The format that a statement asks for itself. */
export function formatOf(sql: string): string | undefined {
  return /\bFORMAT\s+(\w+)\s*(?:SETTINGS\b[^']*)?;?\s*$/i.exec(sql)?.[1];
}

/** A SQL string literal. */
export function literal(text: string): string {
  return `'${text.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`;
}

/** A SQL name. */
export function quotedName(name: string): string {
  return `\`${name.replaceAll('\\', '\\\\').replaceAll('`', '\\`')}\``;
}

/** `SET …` for settings and parameters, or undefined when there are none. */
export function setStatement(
  settings: Readonly<Record<string, string>>,
  parameters: Readonly<Record<string, string>> = {},
): string | undefined {
  const assigned = [
    ...Object.entries(settings),
    ...Object.entries(parameters).map(([name, value]) => [`param_${name}`, value] as const),
  ];
  const wrong = assigned.find(([name]) => !/^\w+$/.test(name));
  if (wrong) throw new RangeError(`not a name of a setting or parameter: ${wrong[0]}`);
  if (assigned.length === 0) return undefined;
  return `SET ${assigned.map(([name, value]) => `${name} = ${literal(value)}`).join(', ')}`;
}
