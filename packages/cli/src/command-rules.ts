import { readdirSync, readFileSync, statSync } from 'node:fs';
import { basename, join } from 'node:path';
import { Failure, messageOf } from '@cairn/failure';
import {
  type RuleFile,
  type RuleSet,
  readRules,
  ruleMistakeText,
  runSamples,
  type SampleResult,
} from '@cairn/rules';
import { visible } from '@cairn/session';
import type { Command } from 'commander';
import { orgName, spanOf, wholeNumber } from './arguments.ts';
import { RULES, SAMPLES } from './config.ts';
import { EXIT } from './exit-codes.ts';
import { type Output, tableOf } from './output.ts';
import { replayRules } from './replay-rules.ts';
import type { OpenTrail } from './trail.ts';

/** Makes an action of a command from its work. */
type Does = <A extends unknown[]>(
  work: (run: { readonly output: Output; readonly open: OpenTrail }, ...own: A) => Promise<number> | number,
) => (...own: A) => Promise<void>;

/** Registers `cairn rules`. */
export function addRulesCommand(program: Command, does: Does): void {
  const rules = program
    .command('rules')
    .summary('check the rules of alerts, run their samples, try them on what happened')
    .description('Checks the Sigma rules that alerts are raised by; docs/rules.md says how to write one.');
  rules
    .command('test')
    .summary('run the samples of all rules')
    .description(
      'Reads all rules, names every mistake with its place, and runs the sample events of each rule: those that must fire ' +
        'and those that must not. Exit code 1 when a rule has a mistake or a sample ends otherwise.',
    )
    .argument('[rules]', 'file or directory of rules', RULES)
    .option('--samples <path>', 'file or directory of samples', SAMPLES)
    .addHelpText(
      'after',
      '\nExamples:\n  $ cairn rules test\n  $ cairn rules test rules/ --samples samples/ --json\n',
    )
    .action(
      does(({ output }, path: string, { samples }: { samples: string }) => testRules(output, path, samples)),
    );
  rules
    .command('replay')
    .summary('say which alerts rules would have raised')
    .description(
      'Reads what happened from ClickHouse, as it arrived, and holds it against rules before they are enabled: which alerts they ' +
        'would have raised, when, for whom. Nothing is recorded and nobody is told. Exit code 1 when a rule has a mistake.',
    )
    .argument('<rules>', 'file or directory of rules')
    .option('--since <span>', 'how far back, such as 12h or 7d', spanOf, 7 * DAY)
    .option('--org <name>', 'one organisation alone', orgName)
    .option('--with <path>', 'rules that they may count', RULES)
    .option('--limit <count>', 'show at most so many alerts', wholeNumber(1, 1_000_000), 100)
    .addHelpText(
      'after',
      '\nExamples:\n  $ cairn rules replay rule.yml\n  $ cairn rules replay --since 30d --org acme rules/ --json\n',
    )
    .action(
      does(({ output, open }, path: string, options: ReplayArguments) => replay(output, open, path, options)),
    );
}

interface ReplayArguments {
  /** Microseconds. */
  readonly since: number;
  readonly org?: string;
  readonly with: string;
  readonly limit: number;
}

const HOUR = 3_600_000_000;
const DAY = 24 * HOUR;
/** Of alerting, by default (services/alerting, config.ts). */
const BOUNDS = { lateness: HOUR / 4, ahead: HOUR / 30 };
const QUIET = HOUR;

/**
 * `cairn rules replay`. Windows are filled for as long as the longest timespan before the beginning, and not longer than what is
 * replayed.
 */
async function replay(
  output: Output,
  open: OpenTrail,
  path: string,
  { since, org, with: others, limit }: ReplayArguments,
): Promise<number> {
  const files = filesAt(path);
  const named = new Set(files.map(({ file }) => basename(file)));
  const counted = filesAt(others).filter(({ file }) => !named.has(basename(file)));
  const { rules, mistakes } = readRules([...files, ...counted]);
  for (const mistake of mistakes) {
    output.value({ mistake });
    output.line(visible(`mistake  ${ruleMistakeText(mistake)}`));
  }
  const own = new Set(files.map(({ file }) => file));
  const told = [...rules.detections, ...rules.correlations].filter(
    ({ file, alerts }) => alerts && own.has(file),
  );
  if (told.length === 0) {
    output.note(`No rule of ${path} raises alerts.`);
    return EXIT.failed;
  }
  const tried = needed(rules, new Set(told.map(({ id }) => id)));
  const until = Date.now() * 1_000;
  const warmUp = Math.min(since, Math.max(QUIET, ...tried.correlations.map(({ timespan }) => timespan)));
  const shown: string[][] = [];
  const counts = new Map<string, number>();
  await using trail = open();
  const { events, alerts } = await replayRules(trail, tried, {
    since: until - since,
    until,
    warmUp,
    org,
    told: new Set(told.map(({ id }) => id)),
    bounds: BOUNDS,
    quiet: QUIET,
    onAlert(alert) {
      const { rule, group, groupBy, ...facts } = alert;
      counts.set(rule.title, (counts.get(rule.title) ?? 0) + 1);
      if (shown.length >= limit) return;
      const values = Object.fromEntries(groupBy.map((name, index) => [name, group[index] ?? '']));
      output.value({
        alert: { rule: rule.id, title: rule.title, level: rule.level, group: values, ...facts },
      });
      const who = groupBy.slice(1).map((name, index) => `${name}=${group[index + 1] ?? ''}`);
      shown.push([
        textOf(facts.since),
        textOf(facts.until),
        rule.level,
        group[0] ?? '',
        rule.title,
        String(facts.firings),
        String(facts.peak),
        who.join(' '),
        facts.events.at(-1) ?? '',
      ]);
    },
    onHour: () => {},
  });
  const header = ['BEGAN (UTC)', 'LAST', 'LEVEL', 'ORG', 'RULE', 'FIRED', 'MOST', 'GROUP', 'AN EVENT'];
  if (shown.length > 0) for (const line of tableOf(header, shown)) output.line(line);
  output.note(
    `${alerts} alerts over ${events} events${alerts > shown.length ? `, of which the first ${shown.length} are shown (--limit)` : ''}; windows were filled from ${textOf(until - since - warmUp)} on.`,
  );
  for (const [title, count] of counts) output.note(visible(`${count} of ${title}`));
  return mistakes.length > 0 ? EXIT.failed : EXIT.ok;
}

/** These rules and what they count, in any depth. */
function needed(rules: RuleSet, ids: ReadonlySet<string>): RuleSet {
  const wanted = new Set(ids);
  for (const { id, sources } of rules.correlations.toReversed())
    if (wanted.has(id)) for (const { rule } of sources) wanted.add(rule);
  return {
    ...rules,
    detections: rules.detections.filter(({ id }) => wanted.has(id)),
    correlations: rules.correlations.filter(({ id }) => wanted.has(id)),
  };
}

const textOf = (micros: number): string =>
  new Date(micros / 1_000).toISOString().slice(0, 19).replace('T', ' ');

/** `cairn rules test`: mistakes first, then every sample and what came of it. */
function testRules(output: Output, rulesPath: string, samplesPath: string): number {
  const { rules, mistakes } = readRules(filesAt(rulesPath));
  for (const mistake of mistakes) {
    output.value({ mistake });
    output.line(visible(`mistake  ${ruleMistakeText(mistake)}`));
  }
  const results = filesAt(samplesPath).flatMap((file) => runSamples(rules, file));
  for (const result of results) {
    output.value({ sample: result });
    output.line(visible(sampleText(result)));
  }
  const failed = results.filter(({ passed }) => !passed).length;
  const count = rules.detections.length + rules.correlations.length;
  output.note(
    `${count} rules, ${mistakes.length} mistakes; ${results.length - failed} of ${results.length} samples passed.`,
  );
  const tested = new Set(results.map(({ rule }) => rule));
  const untested = [...rules.detections, ...rules.correlations].filter(
    ({ alerts, id, name }) => alerts && !tested.has(id) && !tested.has(name ?? ''),
  );
  for (const { title, file } of untested) output.note(visible(`no samples for ${title} (${file})`));
  return failed > 0 || mistakes.length > 0 ? EXIT.failed : EXIT.ok;
}

function sampleText({ file, what, passed, expected, opened, mistake }: SampleResult): string {
  if (passed) return `passed   ${file}: ${what}`;
  const why = mistake ?? `${opened} alerts, not ${expected}`;
  return `FAILED   ${file}: ${what === '' ? '' : `${what}: `}${why}`;
}

/**
 * A file, or all .yml and .yaml files of a directory in the order of their names.
 *
 * @throws Failure `rules.unreadable`
 */
function filesAt(path: string): RuleFile[] {
  try {
    if (!statSync(path).isDirectory()) return [{ file: path, text: readFileSync(path, 'utf8') }];
    return readdirSync(path)
      .filter((name) => /\.ya?ml$/.test(name))
      .sort()
      .map((name) => ({ file: name, text: readFileSync(join(path, name), 'utf8') }));
  } catch (error) {
    throw new Failure({
      code: 'rules.unreadable',
      retry: 'no',
      message: `${path} cannot be read: ${messageOf(error)}`,
      mend: 'Name a file or a directory of .yml files.',
    });
  }
}
