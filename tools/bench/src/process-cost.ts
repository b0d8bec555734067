import { readdirSync, readFileSync } from 'node:fs';

/** Clock ticks of /proc for each second; 100 on every Linux of today. */
const TICKS = 100;

/** CPU seconds that a process and its ended children have used, user and system. Undefined once it is gone. */
export function cpuSecondsOf(pid: number): number | undefined {
  try {
    const fields = readFileSync(`/proc/${pid}/stat`, 'utf8')
      .replace(/^.*\) /s, '')
      .split(' ');
    const [user, system, childUser, childSystem] = fields.slice(11, 15).map(Number);
    return ((user ?? 0) + (system ?? 0) + (childUser ?? 0) + (childSystem ?? 0)) / TICKS;
  } catch {
    return undefined;
  }
}

/** Largest memory that the process has held, MiB. */
export function peakMemoryMib(pid: number): number {
  return Number(/VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0) / 1024;
}

/** The processes that this one has started and that run. */
export function childrenOf(pid: number): number[] {
  return readdirSync(`/proc/${pid}/task`).flatMap((task) =>
    readFileSync(`/proc/${pid}/task/${task}/children`, 'utf8').trim().split(' ').filter(Boolean).map(Number),
  );
}

/** CPU seconds that those threads of a process have used that run and are called so. */
export function threadSecondsOf(pid: number, isMeant: (name: string, thread: number) => boolean): number {
  let seconds = 0;
  for (const thread of readdirSync(`/proc/${pid}/task`).map(Number)) {
    try {
      const [, name, rest] = /^\d+ \((.*)\) (.*)$/s.exec(
        readFileSync(`/proc/${pid}/task/${thread}/stat`, 'utf8'),
      ) ?? ['', '', ''];
      if (!isMeant(name!, thread)) continue;
      const [user, system] = rest!.split(' ').slice(11, 13).map(Number);
      seconds += ((user ?? 0) + (system ?? 0)) / TICKS;
    } catch {
      // It has ended meanwhile.
    }
  }
  return seconds;
}

/** Memory that the process holds now, MiB. */
export function memoryMib(pid: number): number {
  return Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0) / 1024;
}
