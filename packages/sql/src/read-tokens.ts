import { SqlMistake } from './sql-mistake.ts';

export interface Token {
  readonly kind: 'name' | 'text' | 'number' | 'sign' | 'end';
  /** A name as it is meant, a text without its quotes and escapes, a number or a sign as written. */
  readonly value: string;
  /** A name in quotes is never a keyword. */
  readonly quoted: boolean;
  readonly at: number;
  readonly length: number;
}

export const STATEMENT_CHARACTERS_MAX = 20_000;

const SPACE = /(?:[ \t\r\n]+|--[^\n]*(?:\n|$))+/y;
const NAME = /[A-Za-z_]\w*/y;
const QUOTED = /`([A-Za-z_][\w ]*)`|"([A-Za-z_][\w ]*)"/y;
const TEXT = /'((?:[^'\\]|\\.|'')*)'/sy;
const NUMBER = /(?:\d+(?:\.\d+)?|\.\d+)(?:[eE][+-]?\d{1,3})?(?![\w.])/y;
const SIGN = /->|\|\||<=|>=|<>|!=|==|[-+*/%(),.=<>[\];]/y;

const ESCAPES: Readonly<Record<string, string>> = {
  n: '\n',
  t: '\t',
  r: '\r',
  "'": "'",
  '\\': '\\',
  '"': '"',
  '%': '\\%',
  _: '\\_',
};

/** A statement in words. @throws SqlMistake `sql.refused` */
export function readTokens(text: string): Token[] {
  if (text.length > STATEMENT_CHARACTERS_MAX)
    throw new SqlMistake(
      STATEMENT_CHARACTERS_MAX,
      1,
      'it is too long.',
      `Write at most ${STATEMENT_CHARACTERS_MAX} characters.`,
    );
  const tokens: Token[] = [];
  let at = 0;
  const next = (pattern: RegExp): RegExpExecArray | null => {
    pattern.lastIndex = at;
    return pattern.exec(text);
  };
  for (;;) {
    at += next(SPACE)?.[0].length ?? 0;
    if (at >= text.length) break;
    const found = tokenAt(next);
    if (found === undefined) throw strange(text, at);
    tokens.push({ ...found, at });
    at += found.length;
  }
  tokens.push({ kind: 'end', value: 'the end', quoted: false, at, length: 0 });
  return tokens;
}

function tokenAt(next: (pattern: RegExp) => RegExpExecArray | null): Omit<Token, 'at'> | undefined {
  const name = next(NAME);
  if (name) return { kind: 'name', value: name[0], quoted: false, length: name[0].length };
  const quoted = next(QUOTED);
  if (quoted)
    return { kind: 'name', value: quoted[1] ?? quoted[2] ?? '', quoted: true, length: quoted[0].length };
  const text = next(TEXT);
  if (text) {
    const value = (text[1] ?? '').replaceAll(/''|\\(.)/gs, (_, escaped?: string) =>
      escaped === undefined ? "'" : (ESCAPES[escaped] ?? `\\${escaped}`),
    );
    return { kind: 'text', value, quoted: false, length: text[0].length };
  }
  const number = next(NUMBER);
  if (number) return { kind: 'number', value: number[0], quoted: false, length: number[0].length };
  const sign = next(SIGN);
  return sign ? { kind: 'sign', value: sign[0], quoted: false, length: sign[0].length } : undefined;
}

function strange(text: string, at: number): SqlMistake {
  if (text[at] === "'")
    return new SqlMistake(at, 1, 'a text is not closed.', "End it with ', and write '' for a quote inside.");
  if (text.startsWith('/*', at))
    return new SqlMistake(at, 2, 'a comment of this form is not taken.', 'Write -- to the end of the line.');
  return new SqlMistake(
    at,
    1,
    'this sign has no place here.',
    'Names hold letters, digits and _; texts stand in single quotes.',
  );
}
