import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { Failure, messageOf } from '@cairn/failure';
import { type RuleFile, readRules, ruleMistakeText, runSamples, type SampleResult } from '@cairn/rules';
import { visible } from '@cairn/session';
import type { Command } from 'commander';
import { RULES, SAMPLES } from './config.ts';
import { EXIT } from './exit-codes.ts';
import type { Output } from './output.ts';

/** Makes an action of a command from its work. */
type Does = <A extends unknown[]>(
  work: (run: { readonly output: Output }, ...own: A) => number,
) => (...own: A) => Promise<void>;

/** Registers `cairn rules`. */
export function addRulesCommand(program: Command, does: Does): void {
  const rules = program
    .command('rules')
    .summary('check the rules of alerts and run their samples')
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
}

/** `cairn rules test`: mistakes first, then every sample and what came of it. */
export function testRules(output: Output, rulesPath: string, samplesPath: string): number {
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
