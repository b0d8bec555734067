import { Failure } from '@cairn/failure';
import { utf8 } from './bytes.ts';
import { type CompleteEvent, DRAFT_FIELDS, type EventDraft, withDefaults, writeBody } from './encode.gen.ts';
import { copyUpTo, LONG_MAX } from './encode-steps.ts';
import { SCHEMAS } from './event.gen.ts';
import { ITEMS_MAX, STRING_BYTES_MAX } from './walk-steps.ts';

/** An event that has all but its place in a stream, encoded once and for good. */
export interface EncodedDraft {
  readonly event_id: Uint8Array;
  /** Its datum in canonical form up to the integrity block, which `datumAt` writes. */
  readonly body: Uint8Array;
}

type Check = (value: unknown) => string | undefined;
interface FieldRule {
  readonly name: string;
  readonly check: Check;
}

/**
 * Fills a draft with the schema's defaults and checks every value against the schema: what is complete can be encoded.
 *
 * @throws Failure `event.invalid` that names every field that does not fit and what it wants, `event.too-large`.
 */
export function completeEvent(draft: EventDraft, ids: { readonly event_id: Uint8Array }): CompleteEvent {
  const event = withDefaults(draft, ids.event_id);
  writeChecked(draft, event);
  return event;
}

/** The same as bytes: what the check writes is what will stand in the datum, and nothing of the draft is looked at again. */
export function encodeDraft(draft: EventDraft, ids: { readonly event_id: Uint8Array }): EncodedDraft {
  const event = withDefaults(draft, ids.event_id);
  return { body: copyUpTo(writeChecked(draft, event)), event_id: event.event_id };
}

/** Writes the event's body into the encoder's buffer and returns the place behind it. */
function writeChecked(draft: EventDraft, event: CompleteEvent): number {
  if (event.org_id === '' || event.gateway_id === '' || hasStrangers(draft)) throw unfit(draft, event);
  try {
    return writeBody(0, event);
  } catch (error) {
    throw unfit(draft, event) ?? error;
  }
}

function hasStrangers(draft: EventDraft): boolean {
  for (const name of Object.keys(draft)) if (!DRAFT_FIELDS.has(name)) return true;
  return false;
}

let rules: readonly FieldRule[] | undefined;

/** Everything that is wrong with a draft, or undefined when no single value is. Slow: only what does not fit gets here. */
function unfit(draft: EventDraft, event: CompleteEvent): Failure | undefined {
  const mistakes: string[] = [];
  rules ??= rulesOf();
  for (const { name, check } of rules) {
    const value = (event as unknown as Record<string, unknown>)[name];
    const mistake = value === undefined ? 'is missing' : check(value);
    if (mistake !== undefined) mistakes.push(`${name} ${mistake}`);
  }
  for (const name of Object.keys(draft)) {
    if (!DRAFT_FIELDS.has(name)) mistakes.push(`${name} is no field of an event`);
  }
  if (event.org_id === '') mistakes.push('org_id is empty');
  if (event.gateway_id === '') mistakes.push('gateway_id is empty');
  if (mistakes.length === 0) return undefined;
  return new Failure({
    code: 'event.invalid',
    retry: 'no',
    message: `the event does not fit its schema: ${mistakes.join('; ')}`,
    mend: 'See schemas/audit-event.avsc for the fields and their types.',
  });
}

function rulesOf(): FieldRule[] {
  const named = new Map<string, Check>();
  return (SCHEMAS.at(-1)?.schema.fields ?? []).flatMap((field) => {
    // Every type is visited, so that a name which the integrity block refers to is known where it is defined.
    const check = checkOf(field.type, named);
    return DRAFT_FIELDS.has(field.name) ? [{ name: field.name, check }] : [];
  });
}

function checkOf(type: unknown, named: Map<string, Check>): Check {
  if (Array.isArray(type)) {
    const checks = type.filter((branch) => branch !== 'null').map((branch) => checkOf(branch, named));
    return (value) => (value === null ? undefined : checks[0]?.(value));
  }
  if (typeof type === 'string') return PRIMITIVES[type] ?? named.get(type) ?? unknownType(type);
  const complex = type as {
    type: unknown;
    name: string;
    size: number;
    symbols: string[];
    items: unknown;
    fields: { name: string; type: unknown }[];
  };
  const check = complexCheck(complex, named);
  if (complex.name !== undefined) named.set(complex.name, check);
  return check;
}

function complexCheck(
  type: Parameters<typeof checkOf>[0] & {
    type: unknown;
    size: number;
    symbols: string[];
    items: unknown;
    fields: { name: string; type: unknown }[];
  },
  named: Map<string, Check>,
): Check {
  switch (type.type) {
    case 'fixed':
      return (value) =>
        value instanceof Uint8Array && value.length === type.size ? undefined : `must be ${type.size} bytes`;
    case 'enum':
      return (value) =>
        type.symbols.includes(value as string) ? undefined : `must be one of ${type.symbols.join(', ')}`;
    case 'array': {
      const item = checkOf(type.items, named);
      return (value) => {
        if (!Array.isArray(value)) return 'must be an array';
        if (value.length > ITEMS_MAX) return `must hold at most ${ITEMS_MAX} items`;
        return value.map(item).find((mistake) => mistake !== undefined);
      };
    }
    case 'record': {
      const fields = type.fields.map((field) => ({ name: field.name, check: checkOf(field.type, named) }));
      return (value) => {
        if (typeof value !== 'object' || value === null) return 'must hold records';
        for (const field of fields) {
          const mistake = field.check((value as Record<string, unknown>)[field.name]);
          if (mistake !== undefined) return `.${field.name} ${mistake}`;
        }
        return undefined;
      };
    }
    default:
      return checkOf(type.type, named);
  }
}

const whole =
  (low: number, high: number, name: string): Check =>
  (value) =>
    Number.isInteger(value) && (value as number) >= low && (value as number) <= high
      ? undefined
      : `must be ${name}`;

const PRIMITIVES: Readonly<Record<string, Check>> = {
  string: (value) => {
    if (typeof value !== 'string') return 'must be a string';
    // A UTF-16 unit takes at most three bytes, so most strings need no counting.
    if (value.length * 3 <= STRING_BYTES_MAX || utf8(value).length <= STRING_BYTES_MAX) return undefined;
    return `must take at most ${STRING_BYTES_MAX} bytes`;
  },
  bytes: (value) => (value instanceof Uint8Array ? undefined : 'must be bytes'),
  boolean: (value) => (typeof value === 'boolean' ? undefined : 'must be true or false'),
  int: whole(-2_147_483_648, 2_147_483_647, 'a whole number of 32 bits'),
  long: whole(-LONG_MAX, LONG_MAX, 'a whole number of less than 2^52'),
};

function unknownType(type: string): never {
  throw new TypeError(`no check for the Avro type ${type}`);
}
