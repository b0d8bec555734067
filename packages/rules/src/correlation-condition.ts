import { type Condition, namesIn, parseCondition, testOf } from './condition.ts';
import { RuleError } from './mistake.ts';
import { checkKeys, type Entry, entriesOf, isScalar, scalarOf, startOf, textOf, textStart } from './node.ts';

/** What a correlation's `condition` says. */
export interface CorrelationCondition {
  readonly holds: (measure: number) => boolean;
  readonly text: string;
  /** The condition cannot hold for less. */
  readonly least: number;
  /** More than this many events are counted alike. */
  readonly enough: number;
  /** The condition cannot hold for more; infinite where it can. */
  readonly most: number;
  /** Once it holds for a measure it holds for every greater one. */
  readonly rising: boolean;
  /** For `value_count`. */
  readonly field: Entry | undefined;
  /** For a condition over the names of rules. */
  readonly extended: ExtendedCondition | undefined;
}

export interface ExtendedCondition {
  readonly holdsFor: (seen: ReadonlySet<number>) => boolean;
  /** Sources that it asks for; when it also asks for the absence of one, its windows begin at these. */
  readonly wanted: ReadonlySet<number>;
  readonly asksForAbsence: boolean;
}

const OPERATORS: Readonly<
  Record<string, { sign: string; holds: (value: number, limit: number) => boolean }>
> = {
  gt: { sign: '>', holds: (value, limit) => value > limit },
  gte: { sign: '>=', holds: (value, limit) => value >= limit },
  lt: { sign: '<', holds: (value, limit) => value < limit },
  lte: { sign: '<=', holds: (value, limit) => value <= limit },
  eq: { sign: '=', holds: (value, limit) => value === limit },
  neq: { sign: '!=', holds: (value, limit) => value !== limit },
};

/** Above what a measure can no longer hold. */
const CEILINGS: Readonly<Record<string, (limit: number) => number>> = {
  lt: (limit) => limit - 1,
  lte: (limit) => limit,
  eq: (limit) => limit,
};

/** At least this many; the default of `temporal` is all of its rules. */
export function atLeast(count: number): CorrelationCondition {
  return conditionOf([{ operator: 'gte', limit: count }], undefined);
}

/** A map of operators and limits, all of which hold. @throws RuleError */
export function readCountCondition({ value, offset }: Entry, withField: boolean): CorrelationCondition {
  const entries = entriesOf(value, 'condition', offset);
  checkKeys(entries, [...Object.keys(OPERATORS), ...(withField ? ['field'] : [])], 'condition');
  const limits = entries
    .filter(({ key }) => key !== 'field')
    .map(({ key, value: node, offset: at }) => {
      const limit = scalarOf(node, key, at);
      if (typeof limit !== 'number' || !Number.isSafeInteger(limit) || limit < 0)
        throw new RuleError(startOf(node, at), `${key} takes a whole number from 0 on, not ${limit}`);
      return { operator: key, limit };
    });
  if (limits.length === 0)
    throw new RuleError(startOf(value, offset), 'condition must compare the count; write gte: and a number');
  const field = entries.find(({ key }) => key === 'field');
  if (withField && field === undefined)
    throw new RuleError(
      startOf(value, offset),
      'value_count must say which values it counts; write field: in condition',
    );
  return conditionOf(limits, field);
}

function conditionOf(
  limits: readonly { operator: string; limit: number }[],
  field: Entry | undefined,
): CorrelationCondition {
  const tests = limits.map(({ operator, limit }) => ({
    ...(OPERATORS[operator] as { sign: string; holds: (value: number, limit: number) => boolean }),
    operator,
    limit,
  }));
  const holds = (measure: number): boolean => tests.every((test) => test.holds(measure, test.limit));
  const enough = Math.max(...limits.map(({ limit }) => limit)) + 1;
  let least = 1;
  while (least < enough && !holds(least)) least += 1;
  const most = Math.min(
    ...limits.map(({ operator, limit }) => CEILINGS[operator]?.(limit) ?? Number.POSITIVE_INFINITY),
  );
  return {
    holds,
    most,
    text: tests.map(({ sign, limit }) => `${sign} ${limit}`).join(' and '),
    least,
    enough,
    rising: limits.every(({ operator }) => operator === 'gt' || operator === 'gte'),
    field,
    extended: undefined,
  };
}

/**
 * A condition over the names of the correlation's rules (Sigma 2.1, extended conditions). `not` may stand before names that
 * are joined by `and`: then it asks that the wanted rules' events are not followed by one of the others in time.
 *
 * @throws RuleError
 */
export function readExtendedCondition(
  { value, offset }: Entry,
  sources: readonly string[],
): CorrelationCondition {
  const text = textOf(value, 'condition', offset);
  const at = isScalar(value) ? textStart(value, offset) : offset;
  const parsed = parseCondition(text, sources, at);
  const parts = parsed.op === 'and' ? parsed.of : [parsed];
  const refused = parts.filter((part): part is Extract<Condition, { op: 'not' }> => part.op === 'not');
  const plain = parts.filter((part) => part.op !== 'not');
  const asksForAbsence = refused.length > 0;
  const simple = refused.every(({ of }) => of.op === 'name') && !plain.some(hasNot);
  if (!simple || (asksForAbsence && plain.length === 0)) {
    throw new RuleError(
      at,
      'not may only stand before single rules, joined by and with at least one that is wanted: a and not b',
    );
  }
  const test = testOf<ReadonlySet<number>>(parsed, (name) => {
    const source = sources.indexOf(name);
    return (seen) => seen.has(source);
  });
  const wanted = new Set(plain.flatMap((part) => [...namesIn(part)]).map((name) => sources.indexOf(name)));
  return {
    holds: () => false,
    text,
    least: asksForAbsence ? 0 : 1,
    enough: 1,
    most: Number.POSITIVE_INFINITY,
    rising: !asksForAbsence,
    field: undefined,
    extended: { holdsFor: test, wanted, asksForAbsence },
  };
}

function hasNot(condition: Condition): boolean {
  if (condition.op === 'name') return false;
  return condition.op === 'not' || condition.of.some(hasNot);
}
