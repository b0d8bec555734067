import { Writable } from 'node:stream';
import { runCairn, type Surroundings } from '../cairn.ts';

export interface Said {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs one command line here, with streams that remember. */
export async function cairn(args: readonly string[], around: Partial<Surroundings> = {}): Promise<Said> {
  const [out, err] = [collector(), collector()];
  const code = await runCairn(args, {
    env: {},
    isTerminal: false,
    interruption: () => new AbortController().signal,
    stdout: out.stream,
    stderr: err.stream,
    ...around,
  });
  return { code, stdout: out.text(), stderr: err.text() };
}

function collector(): { stream: Writable; text: () => string } {
  const chunks: Buffer[] = [];
  const stream = new Writable({
    write(chunk: Buffer, _encoding, done) {
      chunks.push(chunk);
      done();
    },
  });
  return { stream, text: () => Buffer.concat(chunks).toString() };
}
