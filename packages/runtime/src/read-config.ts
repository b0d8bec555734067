import { readFileSync } from 'node:fs';
import { Failure, messageOf } from '@cairn/failure';
import { parseDocument } from 'yaml';
import type { z } from 'zod';

/** Where a value of the configuration may come from in the environment: `CAIRN_INGEST_BATCH_ROWS_MAX` → `batch.rowsMax`. */
export type EnvironmentNames = Readonly<Record<string, string>>;

export interface ReadConfigOptions<S extends z.ZodType> {
  /** What is being configured, for messages. */
  readonly name: string;
  readonly schema: S;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Environment names and the dotted path each sets. A name with `_FILE` behind it names a file that holds the value. */
  readonly names: EnvironmentNames;
  /** YAML file that is read first; the environment wins over it. */
  readonly file?: string | undefined;
}

/**
 * Turns a file and the environment into one value, once, at the start.
 *
 * @throws Failure `config.invalid` that lists every mistake, each with its path and where it came from.
 */
export function readConfig<S extends z.ZodType>(options: ReadConfigOptions<S>): z.infer<S> {
  const mistakes: string[] = [];
  const value = options.file === undefined ? {} : readYaml(options.file, mistakes);
  const origins = new Map<string, string>();
  for (const [name, path] of Object.entries(options.names)) {
    const text = readVariable(options.env, name, mistakes);
    if (text === undefined) continue;
    setPath(value, path.split('.'), text);
    origins.set(path, name);
  }
  const result = options.schema.safeParse(value);
  if (!result.success) {
    for (const issue of result.error.issues) {
      const path = issue.path.join('.');
      const origin = origins.get(path);
      mistakes.push(
        `${origin === undefined ? path || '(top level)' : `${origin} (${path})`}: ${issue.message}`,
      );
    }
  }
  if (mistakes.length > 0 || !result.success) {
    throw new Failure({
      code: 'config.invalid',
      retry: 'no',
      message: `the configuration of ${options.name} has ${mistakes.length} mistake${mistakes.length === 1 ? '' : 's'}: ${mistakes.join('; ')}`,
      mend: `Mend ${options.file ?? 'the environment variables'} and start again.`,
    });
  }
  return result.data;
}

function readYaml(file: string, mistakes: string[]): Record<string, unknown> {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    mistakes.push(`${file}: cannot be read (${messageOf(error)})`);
    return {};
  }
  const document = parseDocument(text, { prettyErrors: true });
  for (const error of document.errors) mistakes.push(`${file}: ${messageOf(error)}`);
  const value: unknown = document.errors.length > 0 ? {} : document.toJS({ maxAliasCount: 100 });
  if (value === null || value === undefined) return {};
  if (typeof value !== 'object' || Array.isArray(value)) {
    mistakes.push(`${file}: must hold a mapping at its top level`);
    return {};
  }
  return value as Record<string, unknown>;
}

function readVariable(
  env: Readonly<Record<string, string | undefined>>,
  name: string,
  mistakes: string[],
): string | undefined {
  const direct = env[name];
  if (direct !== undefined && direct !== '') return direct;
  const file = env[`${name}_FILE`];
  if (file === undefined || file === '') return undefined;
  try {
    return readFileSync(file, 'utf8').trim();
  } catch (error) {
    mistakes.push(`${name}_FILE: ${file} cannot be read (${messageOf(error)})`);
    return undefined;
  }
}

function setPath(target: Record<string, unknown>, path: readonly string[], value: string): void {
  const [head, ...rest] = path;
  if (head === undefined) return;
  if (rest.length === 0) {
    target[head] = value;
    return;
  }
  const inner = Object.hasOwn(target, head) ? target[head] : undefined;
  const next = typeof inner === 'object' && inner !== null && !Array.isArray(inner) ? inner : {};
  target[head] = next;
  setPath(next as Record<string, unknown>, rest, value);
}
