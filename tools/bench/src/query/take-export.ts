// Takes an answer to its end and keeps nothing of it: what a caller that writes it to a disk would at least spend.
//
//     KEY=<API key> node take-export.ts <address>
//
// Prints one line of JSON: Taken.
import { get } from 'node:http';

export interface Taken {
  readonly bytes: number;
  /** From the request to the last byte. */
  readonly seconds: number;
  /** User and system time of this process meanwhile, microseconds. */
  readonly cpuMicros: number;
}

const [cpuBefore, from] = [process.cpuUsage(), performance.now()];
get(process.argv[2]!, { headers: { authorization: `Bearer ${process.env['KEY']}` } }, (answer) => {
  if (answer.statusCode !== 200) throw new Error(`it answered ${answer.statusCode}`);
  let bytes = 0;
  answer.on('data', (chunk: Buffer) => (bytes += chunk.length));
  // An answer that broke off is an error here, and ends the process with one.
  answer.on('end', () => {
    const { user, system } = process.cpuUsage(cpuBefore);
    const taken: Taken = { bytes, seconds: (performance.now() - from) / 1_000, cpuMicros: user + system };
    process.stdout.write(`${JSON.stringify(taken)}\n`);
  });
});
