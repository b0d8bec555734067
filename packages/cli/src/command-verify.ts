import { stat } from 'node:fs/promises';
import type { Writable } from 'node:stream';
import { openEvidence, verifyArchive } from '@cairn/archive';
import { Failure } from '@cairn/failure';
import type { EvidenceVerdict, LogVerdict, VerdictFinding } from '@cairn/ledger';
import { visible } from '@cairn/session';
import type { CliConfig } from './config.ts';
import { type Output, tableOf } from './output.ts';
import { ProgressBar } from './progress-bar.ts';
import { readTrusted, type TrustedOptions } from './trusted.ts';
import { verifyBundleFile } from './verify-bundle-file.ts';

/** What the exit code of `cairn verify` means. */
const EXIT_OF = { intact: 0, broken: 1, 'not verifiable here': 2 } as const;

export interface VerifyOptions extends TrustedOptions {
  /** Findings of each part that are shown; default 20. */
  readonly findings?: number;
  /** Of a bundle: end at the first thing that leaves it broken. */
  readonly untilBroken?: boolean;
}

/** `cairn verify`: whether what is there is what was recorded. */
export async function verify(
  output: Output,
  config: CliConfig,
  where: string,
  options: VerifyOptions,
  stderr: Writable,
): Promise<number> {
  const trusted = await readTrusted(options, config.rootKey);
  const bar = new ProgressBar(stderr);
  let verdict: EvidenceVerdict;
  try {
    if (await isFile(where))
      verdict = await verifyBundleFile(where, trusted, {
        onProgress: (told) => bar.show(told),
        untilBroken: options.untilBroken === true,
      });
    else {
      if (options.untilBroken === true) throw bundlesOnly();
      await using evidence = await openEvidence(where, config.s3);
      verdict = await verifyArchive(evidence, trusted, (told) => bar.show(told));
    }
  } finally {
    bar.end();
  }
  output.value(verdict);
  for (const line of linesOf(verdict, output, options.findings ?? 20)) output.line(line);
  return EXIT_OF[verdict.verdict];
}

const bundlesOnly = (): Failure =>
  new Failure({
    code: 'config.invalid',
    retry: 'no',
    message: '--until-broken is of bundles, and this is no file',
    mend: 'Leave it out: an archive is read whole, and each log has its own first bad leaf.',
  });

const isFile = async (path: string): Promise<boolean> =>
  (await stat(path).catch(() => undefined))?.isFile() === true;

function* linesOf(verdict: EvidenceVerdict, output: Output, findingsMax: number): Generator<string> {
  const { deployment, keys, anchors, bundle, logs } = verdict;
  const said = (part: { readonly verdict: EvidenceVerdict['verdict'] }): string =>
    painted(output, part.verdict);
  yield `${deployment}: ${said(verdict)}`;
  if (bundle !== null) {
    const [from, to] = [bundle.from, bundle.to].map((ms) => new Date(ms).toISOString());
    yield `bundle   ${said(bundle)}: organisation ${visible(bundle.org)}, received from ${from} to before ${to}`;
    yield* findingLines(bundle.findings, findingsMax);
  }
  yield `keys     ${said(keys)}: ${keys.statements} statements by the root key`;
  yield* findingLines(keys.findings, findingsMax);
  yield `anchors  ${said(anchors)}: ${anchors.size} entries, ${anchors.timestamps.length} timestamps, ${anchors.cosignatures.length} cosignatures`;
  yield* findingLines(anchors.findings, findingsMax);
  if (logs.length === 0) yield 'There is no log.';
  for (const log of logs) yield* logLines(log, output, findingsMax);
}

function* logLines(log: LogVerdict, output: Output, findingsMax: number): Generator<string> {
  const { origin, size, proven, deleted, anchored_to: anchoredTo, first_bad: firstBad } = log;
  yield '';
  yield `log ${origin}: ${painted(output, log.verdict)}`;
  yield `  ${size} leaves, ${proven} proven, ${deleted} deleted under policy, ${anchoredTo} anchored; root ${log.root}`;
  if (firstBad !== null)
    yield `  first bad: leaf ${firstBad.leaf}, ${firstBad.reason}${firstBad.object === '' ? '' : `, ${firstBad.object}`}`;
  yield* findingLines(log.findings, findingsMax);
  const streams = log.streams.map((stream) => [
    stream.org,
    stream.gateway,
    String(stream.epoch),
    `${stream.first_seq}-${stream.last_seq}`,
    String(stream.authenticated_to),
    String(stream.events),
    String(stream.deleted),
    stream.verdict,
    stream.reasons.join(' '),
  ]);
  const header = [
    'ORGANISATION',
    'GATEWAY',
    'EPOCH',
    'NUMBERS',
    'SIGNED TO',
    'EVENTS',
    'DELETED',
    'VERDICT',
    'REASONS',
  ];
  for (const line of tableOf(header, streams)) yield `  ${line}`;
  const population = log.population.map(({ org, gateway, day, events }) => [
    org,
    gateway,
    day === '' ? 'deleted' : day,
    String(events),
  ]);
  for (const line of tableOf(['ORGANISATION', 'GATEWAY', 'DAY', 'EVENTS'], population)) yield `  ${line}`;
}

function* findingLines(findings: readonly VerdictFinding[], findingsMax: number): Generator<string> {
  for (const { class: kind, reason, leaf, seq, stream, object, detail } of findings.slice(0, findingsMax)) {
    const of =
      stream === null ? object : `${stream.org}/${stream.gateway} epoch ${stream.epoch} number ${seq}`;
    yield visible(`  ${kind} ${reason} at leaf ${leaf}${of === '' ? '' : ` (${of})`}: ${detail}`);
  }
  if (findings.length > findingsMax)
    yield `  and ${findings.length - findingsMax} more; --findings shows them`;
}

function painted(output: Output, verdict: EvidenceVerdict['verdict']): string {
  return output.paint(
    ({ intact: 'green', broken: 'red', 'not verifiable here': 'yellow' } as const)[verdict],
    verdict,
  );
}
