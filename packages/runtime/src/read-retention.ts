import { readFileSync } from 'node:fs';
import { Failure, messageOf } from '@cairn/failure';
import { type PolicyReading, policyOf, type RetentionPolicy, readPolicy } from '@cairn/retention';

/**
 * The retention policy in a file, with every mistake in it.
 *
 * @throws Failure `retention.unreadable`
 */
export function readRetentionFile(file: string): PolicyReading {
  let source: string;
  try {
    source = readFileSync(file, 'utf8');
  } catch (error) {
    throw new Failure({
      code: 'retention.unreadable',
      retry: 'no',
      message: `the retention policy ${file} cannot be read: ${messageOf(error)}`,
      mend: 'CAIRN_RETENTION_CONFIG names the file; deploy/config/retention.yaml is an example.',
      cause: error,
    });
  }
  return readPolicy(source);
}

/**
 * The retention policy that a service follows.
 *
 * @throws Failure `retention.unreadable`, or `retention.invalid` that lists every mistake.
 */
export function readRetention(file: string): RetentionPolicy {
  return policyOf(readRetentionFile(file), file);
}
