// Writes rsigma-answers.json: what rsigma finds in the corpus, as count and hash for each rule.
//
//   cargo install rsigma@0.23.0 --locked
//   node packages/rules/test/oracle/make_rsigma_answers.ts <rsigma>
//
// Building rsigma takes minutes, so its answers are kept, and tests compare with them; pySigma is run by the tests.
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { RuleEvent } from '../../src/index.ts';
import { corpusEvents, correlatedRules, correlationEvents, detectionRules, flatJson } from './corpus.ts';
import { digestOf, firingText } from './our-answers.ts';

const rsigma = process.argv[2] ?? 'rsigma';
const directory = mkdtempSync(join(tmpdir(), 'rsigma-'));

interface Line {
  readonly rule_id: string;
  readonly correlation_type?: string;
  readonly event?: { readonly n: number };
  readonly group_key?: readonly (readonly [string, string])[];
  readonly event_refs?: readonly { readonly timestamp: number }[];
}

function run(rules: string, events: readonly RuleEvent[], more: readonly string[]): Line[] {
  const [rulesFile, eventsFile] = [join(directory, 'rules.yml'), join(directory, 'events.ndjson')];
  writeFileSync(rulesFile, rules);
  writeFileSync(eventsFile, `${events.map(flatJson).join('\n')}\n`);
  const args = [
    'engine',
    'eval',
    '-r',
    rulesFile,
    '-e',
    `@${eventsFile}`,
    '--output-format',
    'ndjson',
    '--no-stats',
    '-q',
  ];
  const printed = execFileSync(rsigma, [...args, ...more], { maxBuffer: 2 ** 31 - 1, encoding: 'buffer' });
  const lines: Line[] = [];
  for (let at = 0; at < printed.length; ) {
    const end = printed.indexOf(10, at);
    if (end > at) lines.push(JSON.parse(printed.toString('utf8', at, end)));
    at = end < 0 ? printed.length : end + 1;
  }
  return lines;
}

const digests = (found: Map<string, Set<string>>): Record<string, string> =>
  Object.fromEntries([...found].sort().map(([id, texts]) => [id, digestOf([...texts].sort())]));

const add = (found: Map<string, Set<string>>, id: string, text: string): void => {
  const texts = found.get(id);
  if (texts === undefined) found.set(id, new Set([text]));
  else texts.add(text);
};

const detections = new Map<string, Set<string>>();
for (const { rule_id, event } of run(detectionRules(), corpusEvents(detectionRules()), ['--include-event']))
  add(detections, rule_id, String(event?.n));

const correlations = new Map<string, Set<string>>();
const refs = [
  '--timestamp-field',
  'time',
  '--correlation-event-mode',
  'refs',
  '--max-correlation-events',
  '1',
];
for (const line of run(correlatedRules(), correlationEvents(false), refs)) {
  if (line.correlation_type === undefined) continue;
  const group = (line.group_key ?? []).map(([, value]) => value);
  add(correlations, line.rule_id, firingText(group, line.event_refs?.at(-1)?.timestamp ?? 0));
}
rmSync(directory, { recursive: true });
const version = execFileSync(rsigma, ['--version'], { encoding: 'utf8' }).trim();
writeFileSync(
  join(import.meta.dirname, 'rsigma-answers.json'),
  `${JSON.stringify({ version, detections: digests(detections), correlations: digests(correlations) }, null, 1)}\n`,
);
