import { hash } from 'node:crypto';
import { hexOf } from '@cairn/event';
import { Failure } from '@cairn/failure';
import { type Document, isMap, isNode, isScalar, LineCounter, type Node, parseDocument, visit } from 'yaml';
import { daysToCover, type Millis, type Period, parsePeriod } from './period.ts';
import type { Assignment, LegalHold, Regime, RetentionClass, RetentionPolicy } from './policy.ts';
import { type PolicyFile, policySchema } from './policy-schema.ts';

/** A mistake in the file and where it stands; lines and columns count from 1. */
export interface Mistake {
  readonly line: number;
  readonly column: number;
  /** Dotted path of what is wrong; empty for the file itself. */
  readonly path: string;
  readonly message: string;
}

export type PolicyReading =
  | { readonly policy: RetentionPolicy; readonly mistakes: readonly [] }
  | { readonly policy: undefined; readonly mistakes: readonly Mistake[] };

type Path = readonly PropertyKey[];
type Report = (path: Path, message: string) => void;

/**
 * Reads the text of `retention.yaml`: its form first, then what its parts say of each other. All mistakes of a step are told
 * together, each with its line and column.
 */
export function readPolicy(source: string): PolicyReading {
  const lines = new LineCounter();
  const document = parseDocument(source, { lineCounter: lines, logLevel: 'silent', prettyErrors: false });
  const mistakes: Mistake[] = document.errors.map(({ pos, message }) => ({
    ...placeOf(lines, pos[0]),
    path: '',
    message,
  }));
  visit(document, {
    // What is read would be without them, and a hold or an organisation must not go unseen.
    Pair(_, { key }) {
      if (!isScalar(key) || key.value !== '__proto__') return;
      mistakes.push({ ...placeOf(lines, startOf(key) ?? 0), path: '', message: '__proto__ is no name' });
    },
    Alias(_, alias) {
      const message = 'aliases are not followed; write it out';
      mistakes.push({ ...placeOf(lines, startOf(alias) ?? 0), path: '', message });
    },
  });
  if (mistakes.length > 0) return { policy: undefined, mistakes: inOrder(mistakes) };

  const report: Report = (path, message) => {
    mistakes.push({ ...placeOf(lines, offsetOf(document, path)), path: path.map(String).join('.'), message });
  };
  const form = policySchema.safeParse(document.toJS());
  if (!form.success) {
    for (const issue of form.error.issues) {
      if (issue.code !== 'unrecognized_keys') report(issue.path, issue.message);
      else for (const key of issue.keys) report([...issue.path, key], 'is not known here');
    }
    return { policy: undefined, mistakes: inOrder(mistakes) };
  }
  const classes = classesOf(form.data, report);
  const organisations = organisationsOf(form.data, report);
  const holds = holdsOf(form.data, report);
  const lockRenewal = {
    by: periodOf(form.data.lock_renewal.by),
    whenUnder: periodOf(form.data.lock_renewal.when_under),
  };
  if (daysToCover(lockRenewal.whenUnder) >= daysToCover(lockRenewal.by)) {
    report(['lock_renewal', 'when_under'], 'must be less than `by`, or a lock is carried on at every run');
  }
  if (mistakes.length > 0) return { policy: undefined, mistakes: inOrder(mistakes) };
  const policy: RetentionPolicy = {
    hash: hexOf(hash('sha256', new TextEncoder().encode(source), 'buffer')),
    defaultClass: form.data.default_class,
    organisations,
    classes,
    holds,
    lockRenewal,
  };
  return { policy, mistakes: [] };
}

/**
 * The policy of a reading, or every mistake of the file in one failure.
 *
 * @throws Failure `retention.invalid`
 */
export function policyOf(reading: PolicyReading, file: string): RetentionPolicy {
  if (reading.policy !== undefined) return reading.policy;
  const told = reading.mistakes.map((mistake) => mistakeText(mistake, file)).join('; ');
  const count = reading.mistakes.length;
  throw new Failure({
    code: 'retention.invalid',
    retry: 'no',
    message: `the retention policy has ${count} mistake${count === 1 ? '' : 's'}: ${told}`,
    mend: `Mend ${file}; \`cairn retention check\` says when it is right.`,
  });
}

/** `file:line:column: path: message`, as compilers say it. */
export function mistakeText({ line, column, path, message }: Mistake, file: string): string {
  return `${file}:${line}:${column}: ${path === '' ? '' : `${path}: `}${message}`;
}

function classesOf(file: PolicyFile, report: Report): Map<string, RetentionClass> {
  for (const [id, regime] of Object.entries(file.regimes)) {
    if (regime.keep_after_operation !== undefined && regime.keep_at_least === undefined) {
      report(['regimes', id], 'must also say keep_at_least: a system may end on the day of its event');
    }
    const { applies_from: from, applies_until: until } = regime;
    if (from !== undefined && until !== undefined && until <= from) {
      report(['regimes', id, 'applies_until'], 'must be after applies_from');
    }
  }
  const classes = new Map<string, RetentionClass>();
  for (const [className, stated] of Object.entries(file.classes)) {
    const regimes: Regime[] = [];
    stated.regimes.forEach((taken, index) => {
      const path = ['classes', className, 'regimes', index];
      const own = typeof taken === 'string' ? { regime: taken } : taken;
      const regime = regimeOf(file, own, path, report);
      if (regime === undefined) return;
      if (regimes.some(({ id }) => id === regime.id)) report(path, `${regime.id} stands twice`);
      regimes.push(regime);
    });
    if (regimes.length === stated.regimes.length && !regimes.some(keepsAlways)) {
      report(
        ['classes', className, 'regimes'],
        'one of them must say keep_at_least and have no applies_from or applies_until, so that it keeps events of any time',
      );
    }
    const demanded = regimes.map(({ hotAtLeast }) =>
      hotAtLeast === undefined ? 0 : daysToCover(hotAtLeast),
    );
    classes.set(className, {
      name: className,
      regimes,
      hotDays: stated.hot_days ?? Math.max(file.hot_days, ...demanded),
      objectLock: stated.object_lock === 'governance' ? 'GOVERNANCE' : 'COMPLIANCE',
      lockFor: stated.lock_for === undefined ? undefined : periodOf(stated.lock_for),
    });
  }
  if (file.default_class !== undefined && !classes.has(file.default_class)) {
    report(['default_class'], `there is no class ${file.default_class}`);
  }
  return classes;
}

function keepsAlways({ keepAtLeast, appliesFrom, appliesUntil }: Regime): boolean {
  return keepAtLeast !== undefined && appliesFrom === undefined && appliesUntil === undefined;
}

/** A regime together with what the class states where the regime leaves it open, and only there. */
function regimeOf(
  file: PolicyFile,
  own: {
    regime: string;
    keep_at_most?: string | undefined;
    keep_after_operation?: string | undefined;
    operated_until?: string | undefined;
  },
  path: Path,
  report: Report,
): Regime | undefined {
  const regime = Object.hasOwn(file.regimes, own.regime) ? file.regimes[own.regime] : undefined;
  if (regime === undefined) {
    report(path, `there is no regime ${own.regime}`);
    return undefined;
  }
  const settle = (key: 'keep_at_most' | 'keep_after_operation'): Period | undefined => {
    const [general, mine] = [regime[key], own[key]];
    if (general !== 'stated' && mine !== undefined) {
      const why = general === undefined ? 'says nothing of it' : `says ${general}`;
      report([...path, key], `cannot be stated here: ${own.regime} ${why}. Write a regime of your own`);
    }
    if (general === 'stated' && mine === undefined) {
      report(path, `must state ${key}, which ${own.regime} leaves to each class`);
    }
    const settled = general === 'stated' ? mine : general;
    return settled === undefined ? undefined : periodOf(settled);
  };
  const keepAtMost = settle('keep_at_most');
  const after = settle('keep_after_operation');
  const endsAsk = regime.keep_after_operation !== undefined;
  if (endsAsk && own.operated_until === undefined) {
    report(path, `must state operated_until, a day or open, since ${own.regime} counts from it`);
  }
  if (!endsAsk && own.operated_until !== undefined) {
    report([...path, 'operated_until'], `does not matter to ${own.regime}`);
  }
  return {
    id: own.regime,
    title: regime.title,
    basis: regime.basis,
    source: regime.source,
    says: regime.says,
    keepAtLeast: regime.keep_at_least === undefined ? undefined : periodOf(regime.keep_at_least),
    hotAtLeast: regime.hot_at_least === undefined ? undefined : periodOf(regime.hot_at_least),
    keepAtMost,
    operation:
      after === undefined || own.operated_until === undefined
        ? undefined
        : { until: own.operated_until, after },
    appliesFrom: regime.applies_from,
    appliesUntil: regime.applies_until,
    timezone: regime.timezone,
  };
}

function organisationsOf(file: PolicyFile, report: Report): Map<string, readonly Assignment[]> {
  const organisations = new Map<string, readonly Assignment[]>();
  for (const [org, stated] of Object.entries(file.organisations)) {
    const assignments = typeof stated === 'string' ? [{ class: stated, from: undefined }] : stated;
    assignments.forEach((assignment, index) => {
      const path = typeof stated === 'string' ? ['organisations', org] : ['organisations', org, index];
      if (!Object.hasOwn(file.classes, assignment.class))
        report(path, `there is no class ${assignment.class}`);
      const before = assignments[index - 1];
      if (before === undefined) return;
      if (assignment.from === undefined || (before.from !== undefined && assignment.from <= before.from)) {
        report(path, 'must say from, a later day than the one before it');
      }
    });
    organisations.set(
      org,
      assignments.map(({ class: name, from }) => ({ class: name, from })),
    );
  }
  return organisations;
}

function holdsOf(file: PolicyFile, report: Report): LegalHold[] {
  const ids = new Set<string>();
  return file.holds.map((stated, index) => {
    const path = ['holds', index];
    if (ids.has(stated.id)) report([...path, 'id'], `${stated.id} stands twice`);
    ids.add(stated.id);
    const { org, session, agent, release } = stated;
    const [from, to] = [stated.from, stated.to].map((at) => (at === undefined ? undefined : millisOf(at)));
    if ([org, session, agent, from, to].every((part) => part === undefined)) {
      report(path, 'must say what it covers: org, session, agent, from or to');
    }
    if (from !== undefined && to !== undefined && to <= from) report([...path, 'to'], 'must be after from');
    const placedAt = millisOf(stated.placed_at);
    if (release !== undefined) {
      if (new Set(release.by).size < 2) report([...path, 'release', 'by'], 'must name two different persons');
      if (millisOf(release.at) < placedAt) report([...path, 'release', 'at'], 'must not be before placed_at');
    }
    return {
      id: stated.id,
      org,
      session,
      agent,
      from,
      to,
      reason: stated.reason,
      placedBy: stated.placed_by,
      placedAt,
      release:
        release === undefined
          ? undefined
          : { by: release.by, at: millisOf(release.at), reason: release.reason },
    };
  });
}

/** @param text has the form already. */
function periodOf(text: string): Period {
  const period = parsePeriod(text);
  if (period === undefined) throw new TypeError(`${text} is no period`);
  return period;
}

/** A day is its first instant in UTC. */
function millisOf(text: string): Millis {
  const instant = text.includes('T') ? text : `${text}T00:00:00Z`;
  return Temporal.Instant.from(instant).epochMilliseconds;
}

/** Where a path begins: at its key, or at its item of a list; at the nearest part that is there when it is missing. */
function offsetOf(document: Document.Parsed, path: Path): number {
  let node: unknown = document.contents;
  let offset = startOf(node) ?? 0;
  for (const step of path) {
    if (isMap(node)) {
      const pair = node.items.find(({ key }) => isScalar(key) && String(key.value) === String(step));
      if (pair === undefined) return offset;
      offset = startOf(pair.key) ?? offset;
      node = pair.value;
    } else {
      node = isNode(node) && 'items' in node ? (node.items as Node[])[Number(step)] : undefined;
      offset = startOf(node) ?? offset;
    }
  }
  return offset;
}

const startOf = (node: unknown): number | undefined => (isNode(node) ? node.range?.[0] : undefined);

function placeOf(lines: LineCounter, offset: number): { line: number; column: number } {
  const { line, col } = lines.linePos(offset);
  return { line: Math.max(1, line), column: Math.max(1, col) };
}

const inOrder = (mistakes: readonly Mistake[]): Mistake[] =>
  mistakes.toSorted((a, b) => a.line - b.line || a.column - b.column);
