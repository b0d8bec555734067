import { createHash } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Failure, messageOf } from '@cairn/failure';
import { type RuleFile, type RuleMistake, type RuleSet, readRules } from '@cairn/rules';

/** The rules as they were read last. */
export interface ReadRules {
  readonly rules: RuleSet;
  readonly mistakes: readonly RuleMistake[];
  /** SHA-256 over the files' names and texts, hex. */
  readonly hash: string;
}

export interface RuleBook extends Disposable {
  readonly current: ReadRules;
  /** Reads the directory again. @returns whether the rules changed. */
  reload(): Promise<boolean>;
}

export interface RuleBookOptions {
  readonly directory: string;
  /** How often the directory is looked at. */
  readonly lookEveryMs: number;
  readonly onChanged: (now: ReadRules, before: ReadRules) => void;
  /** The directory could not be read; the rules stay what they were. */
  readonly onTrouble: (error: unknown) => void;
}

/**
 * The rules of a directory, and what it holds from then on: a change is in force from the next chunk.
 *
 * @throws Failure `rules.unreadable`
 */
export async function openRuleBook(options: RuleBookOptions): Promise<RuleBook> {
  const first = await filesOf(options.directory);
  let current: ReadRules = { ...readRules(first), hash: hashOf(first) };
  const reload = async (): Promise<boolean> => {
    const files = await filesOf(options.directory);
    const hash = hashOf(files);
    if (hash === current.hash) return false;
    const [now, before] = [{ ...readRules(files), hash }, current];
    current = now;
    options.onChanged(now, before);
    return true;
  };
  const timer = setInterval(() => reload().catch(options.onTrouble), options.lookEveryMs);
  timer.unref();
  return {
    get current() {
      return current;
    },
    reload,
    [Symbol.dispose]: () => clearInterval(timer),
  };
}

async function filesOf(directory: string): Promise<RuleFile[]> {
  const files: RuleFile[] = [];
  try {
    const names = (await readdir(directory, { recursive: true })).filter((name) => /\.ya?ml$/.test(name));
    for (const name of names.sort())
      files.push({ file: name, text: await readFile(join(directory, name), 'utf8') });
  } catch (error) {
    throw new Failure({
      code: 'rules.unreadable',
      retry: 'later',
      message: `the rules in ${directory} cannot be read: ${messageOf(error)}`,
      mend: 'Set CAIRN_RULES to a directory of Sigma rules.',
      cause: error,
    });
  }
  return files;
}

function hashOf(files: readonly RuleFile[]): string {
  const hash = createHash('sha256');
  for (const { file, text } of files) hash.update(JSON.stringify([file, text]));
  return hash.digest('hex');
}
