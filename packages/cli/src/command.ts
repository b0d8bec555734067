import type { CliConfig } from './config.ts';
import type { Output } from './output.ts';
import type { OpenActs } from './record-acts.ts';
import type { OpenTrail } from './trail.ts';

/** What every command gets. */
export interface Run {
  readonly output: Output;
  readonly config: CliConfig;
  readonly open: OpenTrail;
  readonly openActs: OpenActs;
}

/** Makes the action of a command from its work, given its own arguments; what the work returns is the exit code. */
export type Does = <Own extends unknown[]>(
  work: (run: Run, ...own: Own) => Promise<number> | number,
) => (...own: Own) => Promise<void>;

/** For `addHelpText('after', …)`. */
export function examples(...lines: readonly string[]): string {
  return `\nExamples:\n${lines.map((line) => `  ${line}`).join('\n')}`;
}
