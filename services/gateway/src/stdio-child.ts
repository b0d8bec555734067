import { type ChildProcess, spawn } from 'node:child_process';
import type { UpstreamConfig } from './config.ts';
import { LineCutter } from './line-cutter.ts';

export interface StdioChildEvents {
  /** One message of the server, without its line end. */
  readonly onLine: (line: string) => void;
  /** The process has ended; nothing comes any more. */
  readonly onEnd: (why: string) => void;
}

/**
 * A server that speaks MCP over stdio: newline-delimited JSON, bytes unchanged. Its environment holds what is configured
 * and nothing of the gateway's own.
 */
export class StdioChild {
  private readonly child: ChildProcess;
  private ended = false;

  constructor(config: UpstreamConfig, path: string, lineBytesMax: number, events: StdioChildEvents) {
    this.child = spawn(config.command ?? '', config.args, {
      stdio: ['pipe', 'pipe', 'ignore'],
      env: { PATH: path, HOME: '/nonexistent', ...config.env },
    });
    const end = (why: string): void => {
      if (this.ended) return;
      this.ended = true;
      events.onEnd(why);
    };
    this.child.once('error', (error) => end(`the server cannot be run: ${error.message}`));
    this.child.once('exit', (code, signal) => end(`the server ended with ${signal ?? `status ${code}`}`));
    // A write after the end of the process is told by `exit`.
    this.child.stdin?.on('error', () => {});
    const cutter = new LineCutter(lineBytesMax);
    this.child.stdout?.on('data', (chunk: Buffer) => {
      try {
        for (const line of cutter.push(chunk)) events.onLine(line);
      } catch {
        // A server that never ends its line would fill the memory.
        this.kill('SIGKILL');
      }
    });
  }

  /** Sends one message: JSON in one line. */
  send(line: string): void {
    if (!this.ended) this.child.stdin?.write(`${line}\n`);
  }

  /** Closes its input, as MCP asks, and ends it when it does not go by itself. */
  close(): void {
    this.child.stdin?.end();
    setTimeout(() => this.kill('SIGTERM'), 500).unref();
    setTimeout(() => this.kill('SIGKILL'), 3_000).unref();
  }

  kill(signal: NodeJS.Signals): void {
    if (!this.ended) this.child.kill(signal);
  }
}
