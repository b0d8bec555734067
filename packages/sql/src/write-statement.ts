// A statement of an analyst, read in a small part of SQL and written anew. Nothing of the text that came in goes on: names are
// quoted, texts are escaped, functions are those of functions.ts, and each table is a subquery of ours that is bound to one
// organisation. So what cannot be said in this grammar cannot reach ClickHouse, whatever its own grammar is.
import { ARGUMENTS, FUNCTIONS, type SqlFunction } from './functions.ts';
import { readTokens, type Token } from './read-tokens.ts';
import { SqlMistake } from './sql-mistake.ts';

/** By name, what stands for a table behind FROM: a subquery in brackets. */
export type AnalystTables = ReadonlyMap<string, string>;

export const STATEMENT_DEPTH_MAX = 24;

/** @throws SqlMistake `sql.refused` with the place and what to write instead. */
export function writeStatement(text: string, tables: AnalystTables): string {
  const reader = new StatementReader(readTokens(text), tables);
  return reader.statement();
}

/** Words that end a list or begin a clause: no name of a column or an alias without quotes. */
const KEYWORDS = new Set(
  `select from where group by having order limit offset union all distinct as on using join inner left right full outer cross
  and or not in is null like ilike between case when then else end asc desc nulls first last with cast interval exists any
  settings format into except intersect prewhere final sample array qualify window over`.split(/\s+/),
);
/** May stand as names all the same, since they are functions. */
const FUNCTION_WORDS = new Set(['any', 'left', 'right', 'and', 'or', 'not']);

const UNITS = new Set(['second', 'minute', 'hour', 'day', 'week', 'month', 'quarter', 'year']);

class StatementReader {
  readonly #tokens: readonly Token[];
  readonly #tables: AnalystTables;
  #at = 0;
  #depth = 0;
  /** Names of WITH, innermost last. */
  readonly #named: string[] = [];

  constructor(tokens: readonly Token[], tables: AnalystTables) {
    this.#tokens = tokens;
    this.#tables = tables;
  }

  statement(): string {
    const written = this.#query();
    this.#takeSign(';');
    const rest = this.#token;
    if (rest.kind !== 'end') throw this.#mistake(`${told(rest)} has no place here.`, CLAUSES);
    return written;
  }

  get #token(): Token {
    return this.#tokens[this.#at]!;
  }

  #query(): string {
    return this.#deeper(() => {
      const named = this.#named.length;
      const parts: string[] = [];
      if (this.#takeWord('with')) {
        do {
          const name = this.#name('a name');
          this.#wantWord('as');
          this.#wantSign('(');
          parts.push(`${name} AS (${this.#query()})`);
          this.#wantSign(')');
          this.#named.push(name);
        } while (this.#takeSign(','));
      }
      let written = this.#select();
      while (this.#takeWord('union')) {
        const isDistinct = this.#takeWord('distinct');
        if (!isDistinct) this.#wantWord('all');
        written += ` UNION ${isDistinct ? 'DISTINCT' : 'ALL'} ${this.#select()}`;
      }
      this.#named.length = named;
      return `${parts.length === 0 ? '' : `WITH ${parts.join(', ')} `}${written}`;
    });
  }

  #select(): string {
    if (!this.#takeWord('select'))
      throw this.#mistake(
        `${told(this.#token)} begins no statement.`,
        'Only SELECT is run: SELECT … FROM events.',
      );
    let written = this.#takeWord('distinct') ? 'SELECT DISTINCT ' : 'SELECT ';
    written += this.#list(() => this.#column());
    if (this.#takeWord('from')) written += ` FROM ${this.#from()}`;
    if (this.#takeWord('where')) written += ` WHERE ${this.#expression()}`;
    if (this.#takeWord('group')) {
      this.#wantWord('by');
      written += ` GROUP BY ${this.#takeWord('all') ? 'ALL' : this.#list(() => this.#expression())}`;
    }
    if (this.#takeWord('having')) written += ` HAVING ${this.#expression()}`;
    if (this.#takeWord('order')) {
      this.#wantWord('by');
      written += ` ORDER BY ${this.#list(() => this.#ordered())}`;
    }
    while (this.#takeWord('limit')) {
      written += ` LIMIT ${this.#wholeNumber()}`;
      if (this.#takeSign(',')) written += `, ${this.#wholeNumber()}`;
      if (this.#takeWord('offset')) written += ` OFFSET ${this.#wholeNumber()}`;
      if (!this.#takeWord('by')) break;
      written += ` BY ${this.#list(() => this.#expression())}`;
    }
    return written;
  }

  #column(): string {
    if (this.#takeSign('*')) return '*';
    const written = this.#expression();
    const alias = this.#alias();
    return alias === undefined ? written : `${written} AS ${alias}`;
  }

  #alias(): string | undefined {
    if (this.#takeWord('as')) return this.#name('a name');
    return this.#isName() ? this.#name('a name') : undefined;
  }

  #ordered(): string {
    let written = this.#expression();
    if (this.#takeWord('desc')) written += ' DESC';
    else if (this.#takeWord('asc')) written += ' ASC';
    if (!this.#takeWord('nulls')) return written;
    if (this.#takeWord('first')) return `${written} NULLS FIRST`;
    this.#wantWord('last');
    return `${written} NULLS LAST`;
  }

  #from(): string {
    let written = this.#source();
    for (;;) {
      const join = this.#join();
      if (join === undefined) return written;
      written += ` ${join} ${this.#source()}`;
      if (join === 'CROSS JOIN') continue;
      if (this.#takeWord('using')) {
        this.#wantSign('(');
        written += ` USING (${this.#list(() => this.#name('a column'))})`;
        this.#wantSign(')');
      } else {
        this.#wantWord('on');
        written += ` ON ${this.#expression()}`;
      }
    }
  }

  #join(): string | undefined {
    for (const kind of ['cross', 'inner']) {
      if (!this.#takeWord(kind)) continue;
      this.#wantWord('join');
      return `${kind.toUpperCase()} JOIN`;
    }
    for (const side of ['left', 'right', 'full']) {
      if (!this.#takeWord(side)) continue;
      this.#takeWord('outer');
      this.#wantWord('join');
      return `${side.toUpperCase()} JOIN`;
    }
    return this.#takeWord('join') ? 'INNER JOIN' : undefined;
  }

  #source(): string {
    if (this.#takeSign('(')) {
      const query = this.#query();
      this.#wantSign(')');
      const alias = this.#alias();
      return `(${query})${alias === undefined ? '' : ` AS ${alias}`}`;
    }
    const token = this.#token;
    const name = this.#plainName('a table');
    if (this.#isSign('('))
      throw this.#mistakeAt(
        token,
        `${name} is called like a function.`,
        `Tables are ${this.#tableNames()}; there is no other source.`,
      );
    let table = name;
    if (this.#takeSign('.')) {
      if (name.toLowerCase() !== 'cairn')
        throw this.#mistakeAt(token, `there is no database ${name}.`, `Tables are ${this.#tableNames()}.`);
      table = this.#plainName('a table');
    }
    const quoted = quotedName(table);
    const source = this.#named.includes(quoted) && table === name ? quoted : this.#tables.get(table);
    if (source === undefined)
      throw this.#mistakeAt(token, `there is no table ${table}.`, `Tables are ${this.#tableNames()}.`);
    const alias = this.#alias() ?? quoted;
    return `${source} AS ${alias}`;
  }

  #tableNames(): string {
    return [...this.#tables.keys()].join(', ');
  }

  #expression(): string {
    return this.#deeper(() => this.#or());
  }

  #or(): string {
    const parts = [this.#and()];
    while (this.#takeWord('or')) parts.push(this.#and());
    return parts.length === 1 ? parts[0]! : `(${parts.join(' OR ')})`;
  }

  #and(): string {
    const parts = [this.#not()];
    while (this.#takeWord('and')) parts.push(this.#not());
    return parts.length === 1 ? parts[0]! : `(${parts.join(' AND ')})`;
  }

  #not(): string {
    if (this.#isWord('not') && !this.#isCall()) {
      this.#at += 1;
      return this.#deeper(() => `(NOT ${this.#not()})`);
    }
    return this.#comparison();
  }

  #comparison(): string {
    const left = this.#sum();
    for (const sign of ['=', '==', '!=', '<>', '<=', '>=', '<', '>'])
      if (this.#takeSign(sign)) return `(${left} ${sign} ${this.#sum()})`;
    if (this.#takeWord('is')) {
      const not = this.#takeWord('not') ? 'NOT ' : '';
      this.#wantWord('null');
      return `(${left} IS ${not}NULL)`;
    }
    const not = this.#takeWord('not') ? 'NOT ' : '';
    if (this.#takeWord('between')) {
      const from = this.#sum();
      this.#wantWord('and');
      return `(${left} ${not}BETWEEN ${from} AND ${this.#sum()})`;
    }
    for (const word of ['like', 'ilike']) {
      if (!this.#takeWord(word)) continue;
      // A pattern out of a row could be one that fails.
      const pattern = this.#token;
      if (pattern.kind !== 'text')
        throw this.#mistake('a pattern is written out.', `Write ${word.toUpperCase()} 'delete%'.`);
      this.#at += 1;
      if (/(?:^|[^\\])(?:\\\\)*\\$/.test(pattern.value))
        throw this.#mistakeAt(pattern, 'a pattern ends with \\.', 'Take it away.');
      return `(${left} ${not}${word.toUpperCase()} ${literal(pattern.value)})`;
    }
    if (this.#takeWord('in')) return `(${left} ${not}IN ${this.#set()})`;
    if (not !== '')
      throw this.#mistake(
        `behind NOT ${told(this.#token)} has no place.`,
        'Write NOT IN, NOT LIKE or NOT BETWEEN.',
      );
    return left;
  }

  /** A subquery, or values that are written out: a name alone behind IN would be a table to ClickHouse. */
  #set(): string {
    this.#wantSign('(');
    const isQuery = this.#isWord('select') || this.#isWord('with');
    const written = isQuery ? this.#query() : this.#list(() => this.#member());
    this.#wantSign(')');
    return `(${written})`;
  }

  #member(): string {
    if (this.#takeSign('(')) {
      const written = this.#list(() => this.#member());
      this.#wantSign(')');
      return `(${written})`;
    }
    const negative = this.#takeSign('-') ? '-' : '';
    const token = this.#next();
    if (token.kind === 'number') return `${negative}${token.value}`;
    if (token.kind === 'text' && negative === '') return literal(token.value);
    throw this.#mistakeAt(
      token,
      `${told(token)} is not written out.`,
      "Write IN ('one', 'other') or IN (SELECT …).",
    );
  }

  #sum(): string {
    let left = this.#product();
    for (;;) {
      if (this.#takeSign('+')) left = `(${left} + ${this.#product()})`;
      else if (this.#takeSign('-')) left = `(${left} - ${this.#product()})`;
      else if (this.#takeSign('||')) left = `concat(toString(${left}), toString(${this.#product()}))`;
      else return left;
    }
  }

  #product(): string {
    let left = this.#unary();
    for (;;) {
      if (this.#takeSign('*')) left = `(${left} * ${this.#unary()})`;
      else if (this.#takeSign('/')) left = `(${left} / ${this.#unary()})`;
      else if (this.#takeSign('%')) left = `moduloOrZero(${left}, ${this.#unary()})`;
      else return left;
    }
  }

  #unary(): string {
    if (this.#takeSign('-')) return this.#deeper(() => `(-${this.#unary()})`);
    if (this.#takeSign('+')) return this.#unary();
    return this.#access();
  }

  /** `a.b` of tuples and tables, `a[1]` of arrays. */
  #access(): string {
    let written = this.#primary();
    for (;;) {
      if (this.#isSign('[')) {
        this.#at += 1;
        const index = this.#wholeNumber();
        if (index === '0') throw this.#mistake('arrays begin at 1.', 'Write [1] for the first.');
        this.#wantSign(']');
        written = `${written}[${index}]`;
      } else if (this.#isSign('.') && written.endsWith('`')) {
        this.#at += 1;
        if (this.#takeSign('*')) return `${written}.*`;
        written = `${written}.${this.#name('a column')}`;
      } else return written;
    }
  }

  #primary(): string {
    const token = this.#token;
    if (token.kind === 'number') return this.#next().value;
    if (token.kind === 'text') return literal(this.#next().value);
    if (this.#takeSign('(')) {
      const isQuery = this.#isWord('select') || this.#isWord('with');
      const written = isQuery ? this.#query() : this.#list(() => this.#expression());
      this.#wantSign(')');
      return `(${written})`;
    }
    if (this.#takeSign('[')) {
      const written = this.#isSign(']') ? '' : this.#list(() => this.#expression());
      this.#wantSign(']');
      return `[${written}]`;
    }
    if (token.kind !== 'name')
      throw this.#mistake(
        `${told(token)} is no value.`,
        'Write a column, a number, a text in single quotes or a function.',
      );
    if (this.#takeWord('null')) return 'NULL';
    if (this.#takeWord('case')) return this.#case();
    if (this.#takeWord('interval')) return this.#interval();
    if (this.#isCall()) return this.#call();
    return this.#name('a column');
  }

  #case(): string {
    let written = 'CASE';
    if (!this.#isWord('when')) written += ` ${this.#expression()}`;
    while (this.#takeWord('when')) {
      written += ` WHEN ${this.#expression()}`;
      this.#wantWord('then');
      written += ` THEN ${this.#expression()}`;
    }
    if (this.#takeWord('else')) written += ` ELSE ${this.#expression()}`;
    this.#wantWord('end');
    return `${written} END`;
  }

  #interval(): string {
    const count = this.#wholeNumber();
    const token = this.#next();
    const unit = token.value.toLowerCase().replace(/s$/, '');
    if (token.kind !== 'name' || !UNITS.has(unit))
      throw this.#mistakeAt(
        token,
        `${told(token)} is no unit of time.`,
        `Write one of ${[...UNITS].join(', ')}.`,
      );
    return `INTERVAL ${count} ${unit.toUpperCase()}`;
  }

  #isCall(): boolean {
    const after = this.#tokens[this.#at + 1];
    return (
      this.#token.kind === 'name' &&
      after?.kind === 'sign' &&
      after.value === '(' &&
      (!KEYWORDS.has(this.#token.value.toLowerCase()) || FUNCTION_WORDS.has(this.#token.value.toLowerCase()))
    );
  }

  #call(): string {
    const token = this.#next();
    const known = FUNCTIONS.get(token.value.toLowerCase());
    if (known === undefined)
      throw this.#mistakeAt(
        token,
        `the function ${token.value} is not run here.`,
        'docs/api.md lists those that are.',
      );
    this.#wantSign('(');
    const first = this.#arguments(known);
    this.#wantSign(')');
    if (this.#isSign('(')) {
      if (known.tuned !== true)
        throw this.#mistakeAt(token, `${known.name} takes arguments once.`, `Write ${known.name}(…).`);
      if (!first.every((one) => /^\d+(?:\.\d+)?$/.test(one)))
        throw this.#mistakeAt(
          token,
          `what tunes ${known.name} is written out.`,
          `Write ${known.name}(0.9)(x).`,
        );
      this.#at += 1;
      const second = this.#arguments(known);
      this.#wantSign(')');
      return `${known.name}(${first.join(', ')})(${second.join(', ')})`;
    }
    const wanted = ARGUMENTS[known.name];
    if (wanted !== undefined && first.length !== wanted)
      throw this.#mistakeAt(token, `${known.name} takes ${wanted} arguments.`, 'Write as many.');
    return known.write?.(first) ?? `${known.name}(${first.join(', ')})`;
  }

  #arguments(of: SqlFunction): string[] {
    const written: string[] = [];
    if (this.#isSign(')')) return written;
    if (of.kind === 'aggregate' && this.#takeWord('distinct'))
      return [`DISTINCT ${this.#list(() => this.#expression())}`];
    do {
      const token = this.#token;
      if (of.written?.includes(written.length) === true) written.push(this.#writtenOut(of, token));
      else if (of.lambda === true && written.length === 0) written.push(this.#lambda());
      else written.push(this.#takeSign('*') ? '*' : this.#expression());
    } while (this.#takeSign(','));
    return written;
  }

  #writtenOut(of: SqlFunction, token: Token): string {
    const negative = this.#takeSign('-') ? '-' : '';
    const value = this.#next();
    if (value.kind === 'text' && negative === '') return literal(value.value);
    if (value.kind === 'number') return `${negative}${value.value}`;
    throw this.#mistakeAt(
      token,
      `this argument of ${of.name} is written out.`,
      'Write a text or a number, and no column.',
    );
  }

  #lambda(): string {
    const name = this.#name('a name');
    this.#wantSign('->');
    return `${name} -> ${this.#expression()}`;
  }

  #list(one: () => string): string {
    const written = [one()];
    while (this.#takeSign(',')) written.push(one());
    return written.join(', ');
  }

  #wholeNumber(): string {
    const token = this.#next();
    if (token.kind === 'number' && /^\d{1,9}$/.test(token.value)) return token.value;
    throw this.#mistakeAt(token, `${told(token)} is no whole number.`, 'Write one of at most nine digits.');
  }

  #isName(): boolean {
    const { kind, value, quoted } = this.#token;
    return kind === 'name' && (quoted || !KEYWORDS.has(value.toLowerCase()));
  }

  #plainName(what: string): string {
    if (!this.#isName())
      throw this.#mistake(
        `${told(this.#token)} is not ${what}.`,
        `Write ${what}; in double quotes where it is a word of SQL.`,
      );
    return this.#next().value;
  }

  #name(what: string): string {
    return quotedName(this.#plainName(what));
  }

  #next(): Token {
    const token = this.#token;
    if (token.kind !== 'end') this.#at += 1;
    return token;
  }

  #isWord(word: string): boolean {
    const { kind, value, quoted } = this.#token;
    return kind === 'name' && !quoted && value.toLowerCase() === word;
  }

  #takeWord(word: string): boolean {
    if (!this.#isWord(word)) return false;
    this.#at += 1;
    return true;
  }

  #wantWord(word: string): void {
    if (!this.#takeWord(word))
      throw this.#mistake(`${told(this.#token)} stands where ${word.toUpperCase()} should.`, CLAUSES);
  }

  #isSign(sign: string): boolean {
    return this.#token.kind === 'sign' && this.#token.value === sign;
  }

  #takeSign(sign: string): boolean {
    if (!this.#isSign(sign)) return false;
    this.#at += 1;
    return true;
  }

  #wantSign(sign: string): void {
    if (!this.#takeSign(sign))
      throw this.#mistake(`${told(this.#token)} stands where ${sign} should.`, CLAUSES);
  }

  #deeper<T>(work: () => T): T {
    this.#depth += 1;
    if (this.#depth > STATEMENT_DEPTH_MAX)
      throw this.#mistake('it is nested too deeply.', `Nest at most ${STATEMENT_DEPTH_MAX} deep.`);
    const done = work();
    this.#depth -= 1;
    return done;
  }

  #mistake(what: string, instead: string): SqlMistake {
    return this.#mistakeAt(this.#token, what, instead);
  }

  #mistakeAt({ at, length }: Token, what: string, instead: string): SqlMistake {
    return new SqlMistake(at, length, what, instead);
  }
}

const CLAUSES =
  'A statement is SELECT … FROM … [JOIN … ON …] [WHERE …] [GROUP BY …] [HAVING …] [ORDER BY …] [LIMIT …], also WITH … and UNION ALL.';

const told = ({ kind, value }: Token): string => (kind === 'end' ? 'the end' : `${value.slice(0, 40)}`);
const quotedName = (name: string): string => `\`${name}\``;
const literal = (text: string): string => `'${text.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`;
