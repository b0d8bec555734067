import {
  type Explanation,
  explainRetention,
  keepUntil,
  mistakeText,
  periodText,
  type Reason,
  type RetentionPolicy,
  stands,
  warningsOf,
} from '@cairn/retention';
import { readRetention, readRetentionFile } from '@cairn/runtime';
import { visible } from '@cairn/session';
import { compareClasses } from './compare-classes.ts';
import { EXIT } from './exit-codes.ts';
import { type Output, tableOf } from './output.ts';

/** `cairn retention explain`: what is kept until when of an organisation's events of a day, and why. */
export function explainKept(
  output: Output,
  file: string,
  asked: { readonly org: string; readonly date: string },
  now: number,
): number {
  const explanation = explainRetention(readRetention(file), asked.org, asked.date, now);
  output.value(explanation);
  for (const line of explanationLines(explanation)) output.line(visible(line));
  return EXIT.ok;
}

/** `cairn retention check`: whether the policy can be followed, and what in it a person should have seen. */
export function checkPolicy(
  output: Output,
  file: string,
  now: number,
  gateways: readonly string[] = [],
): number {
  const { policy, mistakes } = readRetentionFile(file);
  if (policy === undefined) {
    for (const mistake of mistakes) {
      output.value({ file, ...mistake });
      output.line(visible(mistakeText(mistake, file)));
    }
    output.note(
      `${mistakes.length} ${mistakes.length === 1 ? 'mistake' : 'mistakes'}; nothing of it is used.`,
    );
    return EXIT.failed;
  }
  const warnings = warningsOf(policy, now);
  const differences = gateways.flatMap((gateway) => compareClasses(gateway, policy, now));
  output.value({
    file,
    policy_hash: policy.hash,
    classes: classesOf(policy, now),
    warnings,
    ...(gateways.length === 0 ? {} : { differences }),
  });
  const rows = classesOf(policy, now).map(({ name, kept, decided_by, hot_days, lock, organisations }) => [
    name,
    kept,
    decided_by,
    String(hot_days),
    lock,
    organisations.join(', ') +
      (policy.defaultClass === name ? `${organisations.length ? ', ' : ''}all others` : ''),
  ]);
  const header = ['CLASS', 'KEPT AT LEAST', 'BY', 'HOT DAYS', 'LOCK', 'ORGANISATIONS'];
  for (const line of tableOf(header, rows)) output.line(line);
  for (const hold of policy.holds) {
    if (stands(hold, now)) output.line(visible(`hold ${hold.id}: ${hold.reason}`));
  }
  for (const { message } of warnings) output.line(visible(`warning: ${message}`));
  for (const { gateway, org, gateway_class: given, policy_class: due } of differences) {
    const whose = org === '' ? 'organisations that neither names' : `organisation ${org}`;
    output.line(
      visible(`differs: gateway ${gateway} gives ${whose} the class ${given}, the policy ${due ?? 'none'}`),
    );
  }
  return differences.length === 0 ? EXIT.ok : EXIT.failed;
}

/** Each class as it keeps what is recorded now. */
function classesOf(policy: RetentionPolicy, now: number) {
  const day = { timestamps: { min: now * 1_000, max: now * 1_000 }, received: { min: now, max: now } };
  return [...policy.classes.values()].map((retentionClass) => {
    const [longest] = keepUntil(retentionClass, day).claims;
    return {
      name: retentionClass.name,
      kept: longest === undefined ? '' : demandText(longest.demand, periodText(longest.period)),
      decided_by: longest?.regime.id ?? '',
      hot_days: retentionClass.hotDays,
      lock: retentionClass.objectLock,
      organisations: [...policy.organisations]
        .filter(([, history]) => history.at(-1)?.class === retentionClass.name)
        .map(([org]) => org),
    };
  });
}

const demandText = (demand: 'period' | 'operation', period: string): string =>
  demand === 'period' ? period : `operation and ${period}`;

function* explanationLines(explained: Explanation): Generator<string> {
  const { class: chosen, kept, lock, hot } = explained;
  const since = chosen.from === null ? '' : ` since ${chosen.from}`;
  yield `Events of organisation ${explained.org} on ${explained.date} (UTC)`;
  yield `  class    ${chosen.name}${chosen.why === 'default' ? ', by default' : since}, in ${chosen.topic}`;
  yield `  kept     ${untilText(kept)}`;
  yield* reasonLines('because', explained.decided_by);
  for (const reason of explained.runners_up) yield* reasonLines('also', reason);
  for (const { title, source, period, last_day, exceeded } of explained.maximums) {
    const verdict = exceeded ? 'EXCEEDED, the longer minimum holds' : 'respected';
    yield `  at most  ${title}: ${period}, through ${last_day}; ${verdict}`;
    yield `           ${source}`;
  }
  yield `  locked   until ${lock.until} in ${lock.mode} mode${lock.carried_on ? ', carried on before it ends' : ''}`;
  yield `  hot      until ${hot.until}, ${hot.days} days with its own`;
  if (explained.holds.length === 0) yield '  holds    none';
  for (const { id, names, reason, placed_by, placed_at } of explained.holds) {
    yield `  held     by ${id} on ${names}, placed by ${placed_by} at ${placed_at}`;
    yield `           ${reason}`;
  }
  for (const { message } of explained.warnings) yield `  warning  ${message}`;
  yield `  policy   ${explained.policy_hash}`;
}

function* reasonLines(label: string, reason: Reason): Generator<string> {
  yield `  ${label.padEnd(7)}  ${reason.title} (${reason.basis}): ${reason.demand}, ${untilText(reason)}`;
  yield `           ${reason.source}`;
}

const untilText = ({ last_day }: { readonly last_day: string | null }): string =>
  last_day === null ? 'with no end yet' : `through ${last_day}`;
