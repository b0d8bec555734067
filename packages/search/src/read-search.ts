import type { SyntaxNode } from '@lezer/common';
import { parser } from './search.gen.ts';
import { ALIASES, FIELDS, type SearchField } from './search-fields.ts';
import { nearest, SearchMistake } from './search-mistake.ts';
import type { Comparison, Condition, PatternPiece, SearchQuery, Value } from './search-query.ts';
import { readTime, TIME_FORMS } from './time-expression.ts';

export const SEARCH_CHARACTERS_MAX = 2_000;
export const SEARCH_CONDITIONS_MAX = 50;
export const SEARCH_DEPTH_MAX = 10;

/**
 * Reads a search, such as `tool_name:delete_* decision:deny latency_ms:>500`. docs/search.md says what there is.
 *
 * @throws SearchMistake `search.invalid` with the column and what to write instead.
 */
export function readSearch(text: string): SearchQuery {
  if (text.length > SEARCH_CHARACTERS_MAX)
    throw new SearchMistake(
      SEARCH_CHARACTERS_MAX,
      text.length - SEARCH_CHARACTERS_MAX,
      `it has ${text.length} characters.`,
      `Write at most ${SEARCH_CHARACTERS_MAX}.`,
    );
  const tree = parser.parse(text);
  tree.iterate({
    enter(node) {
      if (node.type.isError) throw syntaxMistake(text, node.node);
    },
  });
  const expression = tree.topNode.firstChild;
  if (expression === null) return { kind: 'all' };
  const reading: Reading = { text, conditions: 0 };
  return readExpression(reading, expression, 1);
}

interface Reading {
  readonly text: string;
  conditions: number;
}

function readExpression(reading: Reading, node: SyntaxNode, depth: number): SearchQuery {
  if (depth > SEARCH_DEPTH_MAX)
    throw mistakeAt(node, 'it is nested too deeply.', `Nest at most ${SEARCH_DEPTH_MAX} deep.`);
  switch (node.name) {
    case 'Group':
      return readExpression(reading, node.firstChild!.nextSibling!, depth + 1);
    case 'Not':
      return { kind: 'not', of: readExpression(reading, node.lastChild!, depth + 1) };
    case 'And':
    case 'Or': {
      const kind = node.name === 'And' ? 'and' : 'or';
      return { kind, of: operandsOf(node).map((operand) => readExpression(reading, operand, depth + 1)) };
    }
    case 'Text':
      return readText(reading, node);
    default:
      return readTerm(reading, node);
  }
}

/** `a b c` is a chain to the left in the tree and one list here. */
function operandsOf(node: SyntaxNode): SyntaxNode[] {
  const operands: SyntaxNode[] = [];
  let left = node;
  while (left.name === node.name) {
    operands.unshift(left.lastChild!);
    left = left.firstChild!;
  }
  return [left, ...operands];
}

function readText(reading: Reading, node: SyntaxNode): SearchQuery {
  count(reading, node);
  const written = reading.text.slice(node.from, node.to);
  if (/^(?:and|or|not|to)$/.test(written))
    throw mistakeAt(
      node,
      `${written} is looked for as a word.`,
      `Write ${written.toUpperCase()}, or "${written}" for the word.`,
    );
  const value = readValue(reading, node.firstChild!);
  if (value.kind === 'pattern' && value.pieces.every((piece) => 'wild' in piece))
    throw mistakeAt(
      node,
      'it matches everything.',
      'Leave it out, or write field:* for an event that has the field.',
    );
  if (value.kind === 'exact' && value.text === '')
    throw mistakeAt(node, 'an empty text is in every event.', 'Leave it out.');
  return { kind: 'text', value };
}

function readTerm(reading: Reading, node: SyntaxNode): SearchQuery {
  const name = node.firstChild!;
  const field = fieldNamed(reading, name);
  const test = name.nextSibling!;
  if (test.name === 'List') {
    const of = scalarsOf(test).map((scalar): SearchQuery => {
      count(reading, scalar);
      return { kind: 'field', field: field.name, condition: isCondition(reading, field, scalar) };
    });
    return of.length === 1 ? of[0]! : { kind: 'or', of };
  }
  count(reading, node);
  return { kind: 'field', field: field.name, condition: readCondition(reading, field, test) };
}

function readCondition(reading: Reading, field: SearchField, node: SyntaxNode): Condition {
  if (node.name === 'Compare') {
    const operator = reading.text.slice(node.firstChild!.from, node.firstChild!.to) as Comparison;
    return { kind: 'compare', operator, value: readBound(reading, field, node.lastChild!) };
  }
  if (node.name === 'Range') {
    const [from, to] = scalarsOf(node) as [SyntaxNode, SyntaxNode];
    return {
      kind: 'range',
      from: readBound(reading, field, from),
      to: readBound(reading, field, to),
      fromIncluded: reading.text[node.from] === '[',
      toIncluded: reading.text[node.to - 1] === ']',
    };
  }
  return isCondition(reading, field, node);
}

/** A value that stands on one side of a comparison: only numbers and times have an order that is of use. */
function readBound(reading: Reading, field: SearchField, node: SyntaxNode): string {
  const value = readValue(reading, node);
  if (field.kind !== 'number' && field.kind !== 'time')
    throw mistakeAt(
      node,
      `${field.name} has no order.`,
      `Compare it with ${field.name}:value or ${field.name}:(one OR other).`,
    );
  if (value.kind === 'pattern')
    throw mistakeAt(node, 'a wildcard has no place in an order.', 'Write a value.');
  checkValue(field, value.text, node);
  return value.text;
}

function isCondition(reading: Reading, field: SearchField, node: SyntaxNode): Condition {
  const value = readValue(reading, node);
  const isAny =
    value.kind === 'pattern' &&
    value.pieces.length === 1 &&
    'wild' in value.pieces[0]! &&
    value.pieces[0].wild === '*';
  if (value.kind === 'exact') checkValue(field, value.text, node);
  else if (!isAny && field.kind !== 'text' && field.kind !== 'list' && field.kind !== 'choice')
    throw mistakeAt(
      node,
      `wildcards do not go with ${field.name}, a ${field.kind}.`,
      `Write a whole value, or ${field.name}:* for an event that has it.`,
    );
  return { kind: 'is', value };
}

function checkValue(field: SearchField, text: string, node: SyntaxNode): void {
  const { name } = field;
  if (field.kind === 'number' && !/^-?\d{1,15}$/.test(text))
    throw mistakeAt(node, `${name} is a whole number.`, `Write for example ${name}:>500.`);
  // Whether a time can be read does not depend on now.
  if (field.kind === 'time' && readTime(text, LATE) === undefined)
    throw mistakeAt(node, `this is no time.`, `Write one of: ${TIME_FORMS}.`);
  if (field.kind === 'id' && !/^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(text))
    throw mistakeAt(
      node,
      `${name} is a UUID.`,
      `Write it whole, such as 018f0000-0000-7000-8000-000000000001.`,
    );
  if (field.kind === 'hash' && !isHashText(field, text))
    throw mistakeAt(node, `${name} is ${field.writtenBytes * 2} hex digits.`, 'Write all of them.');
  if (field.kind === 'choice' && !field.choices.includes(text)) {
    const meant = nearest(text, field.choices);
    throw mistakeAt(
      node,
      `${name} is never ${JSON.stringify(text)}.`,
      meant === undefined ? `It is one of ${field.choices.join(', ')}.` : `Did you mean ${meant}?`,
    );
  }
}

function isHashText({ bytes, writtenBytes }: SearchField & { kind: 'hash' }, text: string): boolean {
  return /^(?:[0-9a-f]{2})+$/i.test(text) && (text.length === 2 * bytes || text.length === 2 * writtenBytes);
}

/** In the year 2100: no `now-999999w` reaches before 1970 from here that would not from today, and none is refused twice. */
const LATE = 4_102_444_800_000_000;

/** The text of a word or a phrase, its escapes and wildcards read. In quotes nothing is a wildcard. */
function readValue({ text }: Reading, node: SyntaxNode): Value {
  const written = text.slice(node.from, node.to);
  if (node.name === 'Phrase')
    return { kind: 'exact', text: written.slice(1, -1).replaceAll(/\\(.)/gsu, '$1') };
  const pieces: PatternPiece[] = [];
  let literal = '';
  for (let at = 0; at < written.length; at += 1) {
    const character = written[at]!;
    if (character === '\\') literal += written[(at += 1)] ?? '';
    else if (character === '*' || character === '?') {
      if (literal !== '') pieces.push({ literal });
      literal = '';
      pieces.push({ wild: character });
    } else literal += character;
  }
  if (pieces.length === 0) return { kind: 'exact', text: literal };
  if (literal !== '') pieces.push({ literal });
  return { kind: 'pattern', pieces };
}

function fieldNamed({ text }: Reading, node: SyntaxNode): SearchField {
  const written = text.slice(node.from, node.to - 1);
  const field = FIELDS.get(written) ?? FIELDS.get(Object.hasOwn(ALIASES, written) ? ALIASES[written]! : '');
  if (field !== undefined) return field;
  const meant = nearest(written, [...FIELDS.keys(), ...Object.keys(ALIASES)]);
  throw mistakeAt(
    node,
    `events have no field ${written}.`,
    `${meant === undefined ? '' : `Did you mean ${meant}? `}To look for the text itself, write it in quotes.`,
  );
}

const scalarsOf = (node: SyntaxNode): SyntaxNode[] =>
  [...node.getChildren('Word'), ...node.getChildren('Phrase')].toSorted(
    (one, other) => one.from - other.from,
  );

function count(reading: Reading, node: SyntaxNode): void {
  reading.conditions += 1;
  if (reading.conditions > SEARCH_CONDITIONS_MAX)
    throw mistakeAt(node, 'it has too many conditions.', `Write at most ${SEARCH_CONDITIONS_MAX}.`);
}

function mistakeAt(node: SyntaxNode, what: string, instead: string): SearchMistake {
  return new SearchMistake(node.from, node.to - node.from, what, instead);
}

/** What is wrong where the grammar does not go on. */
function syntaxMistake(text: string, { from, to, parent, prevSibling }: SyntaxNode): SearchMistake {
  const at = (what: string, instead: string) =>
    new SearchMistake(from, Math.max(to - from, 0), what, instead);
  const rest = text.slice(from).trimStart();
  const before = prevSibling?.name ?? '';
  if (rest.startsWith('"'))
    return at('a quote is not closed.', 'End it with ", and write \\" for a quote inside.');
  if (rest.startsWith(')'))
    return at(
      'a bracket is closed that was not opened.',
      'Take it away, or write "..." around text with brackets.',
    );
  if (parent?.name === 'Range' || /^[[{]/.test(rest))
    return at('a range is not whole.', 'Write field:[from TO to], or { and } to leave the ends out.');
  if (before === 'Field') {
    const name = text.slice(prevSibling!.from, prevSibling!.to);
    return at(
      `behind ${name} a value is missing.`,
      `Write ${name}value, ${name}"a phrase" or ${name}>5; a value that begins with - stands in quotes.`,
    );
  }
  if (/OrWord|AndWord|NotWord|Minus/.test(before)) {
    const word = text.slice(prevSibling!.from, prevSibling!.to);
    return at(
      `behind ${word} something is missing.`,
      `Write what ${word} is about, or "${word}" for the word.`,
    );
  }
  if (parent?.name === 'Group' || parent?.name === 'List')
    return at('a bracket is not closed.', 'End it with ).');
  if (/^(?:AND|OR|TO)\b/.test(rest)) {
    const [word] = /^\w+/.exec(rest)!;
    return at(`${word} joins nothing here.`, `Write something before it, or "${word}" for the word.`);
  }
  return at('this cannot be read.', 'Write "..." around text with brackets, quotes or comparison signs.');
}
