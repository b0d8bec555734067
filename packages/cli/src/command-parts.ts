import { type PartName, startParts, statusParts, stopParts } from '@cairn/local';
import { EXIT } from './exit-codes.ts';
import { type Output, tableOf } from './output.ts';

/** `cairn up`: the outside systems, left running. */
export async function up(output: Output, directory: string, names: readonly PartName[]): Promise<number> {
  // Not disposed of: they outlive this command, and `down` finds them by their records.
  const started = await startParts({
    directory,
    onProgress: (line) => output.note(line),
    ...(names.length === 0 ? {} : { parts: names }),
  });
  for (const { name, address, pid, found } of Object.values(started.parts)) {
    output.value({ part: name, address, pid: pid ?? null, already_running: found });
  }
  for (const [name, value] of Object.entries(started.env())) output.line(`export ${name}=${value}`);
  output.note('`cairn migrate` makes the tables, `cairn doctor` checks everything, `cairn down` stops.');
  return EXIT.ok;
}

/** `cairn status`: which of them run. */
export function status(output: Output, directory: string): number {
  const parts = statusParts(directory);
  for (const part of parts) output.value({ ...part, pid: part.pid ?? null });
  const rows = parts.map(({ part, running, pid, address }) => [
    part,
    running ? (pid === undefined ? 'elsewhere' : 'running') : 'stopped',
    pid === undefined ? '-' : String(pid),
    address,
  ]);
  for (const line of tableOf(['PART', 'STATE', 'PID', 'ADDRESS'], rows)) output.line(line);
  if (parts.every(({ running }) => running)) return EXIT.ok;
  output.note('`cairn up` starts what is stopped.');
  return EXIT.failed;
}

/** `cairn down`: ends those that run from this directory; their data stays. */
export async function down(output: Output, directory: string): Promise<number> {
  const stopped = await stopParts(directory);
  for (const part of stopped) {
    output.value({ part, stopped: true });
    output.line(`stopped ${part}`);
  }
  if (stopped.length === 0) output.note('Nothing was running.');
  return EXIT.ok;
}
