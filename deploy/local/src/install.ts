import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, renameSync, rmSync, statfsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Failure } from '@cairn/failure';
import { toolEnvironment } from './config.ts';

/** The version that the tests and the measurements were made with. */
export const KAFKA_VERSION = '4.4.0';

/** Kafka's jars, versitygw's binary and Maven's copies need this much. */
const DISK_BYTES_MIN = 2 * 1024 ** 3;

export type Progress = (line: string) => void;

/**
 * Kafka's jars from Maven Central.
 *
 * @returns the folder that holds them.
 */
export async function installKafka(cache: string, progress: Progress): Promise<string> {
  await installFromDebian('Java', 'default-jre-headless', progress, 'java');
  const jars = join(cache, `kafka-${KAFKA_VERSION}`);
  if (existsSync(jars)) return jars;
  await installFromDebian('Maven', 'maven', progress, 'mvn');
  progress(`kafka ${KAFKA_VERSION}: downloading with Maven (about 120 MB)`);
  const work = `${jars}.partial`;
  rmSync(work, { recursive: true, force: true });
  mkdirSync(work, { recursive: true });
  writeFileSync(join(work, 'pom.xml'), KAFKA_POM);
  await run('mvn', ['-q', '-B', 'dependency:copy-dependencies', '-DoutputDirectory=jars'], work, 'kafka');
  // The folder gets its name only when it is whole, so an interrupted download is begun again.
  renameSync(join(work, 'jars'), jars);
  rmSync(work, { recursive: true, force: true });
  return jars;
}

const KAFKA_POM = `<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>dev.cairn</groupId><artifactId>local-kafka</artifactId><version>1</version><packaging>pom</packaging>
  <dependencies>
    <dependency><groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>${KAFKA_VERSION}</version></dependency>
  </dependencies>
</project>
`;

/** Debian's Redis. */
export async function installRedis(progress: Progress): Promise<string> {
  return installFromDebian('Redis', 'redis-server', progress);
}

/** Debian's strace, with which tests have system calls fail. */
export async function installStrace(progress: Progress): Promise<string> {
  return installFromDebian('strace', 'strace', progress);
}

/**
 * @param name of the package, and where `command` does not say otherwise of its command.
 * @returns the command. @throws Failure `tool.missing`, `install.failed`
 */
export async function installFromDebian(
  what: string,
  name: string,
  progress: Progress,
  command = name,
): Promise<string> {
  if (has(command)) return command;
  const mend = `Install it by hand: apt-get install -y ${name}`;
  if (!has('apt-get') || process.getuid?.() !== 0) {
    throw new Failure({
      code: 'tool.missing',
      retry: 'no',
      message: `${what} is not installed and cannot be from here`,
      mend,
    });
  }
  // Parts install side by side, and apt-get holds a lock.
  installing = installing.catch(() => {}).then(() => installPackage(name, progress));
  await installing;
  return command;
}

let installing: Promise<void> = Promise.resolve();

async function installPackage(name: string, progress: Progress): Promise<void> {
  progress(`${name}: installing with apt-get`);
  // RUNLEVEL keeps a package from starting a server of its own.
  const env = { DEBIAN_FRONTEND: 'noninteractive', RUNLEVEL: '1' };
  await run('apt-get', ['-qq', 'update'], '/', name, env);
  await run('apt-get', ['-qq', '-y', '--no-install-recommends', 'install', name], '/', name, env);
}

/** @throws Failure `disk.full` */
export function requireDiskSpace(directory: string): void {
  mkdirSync(directory, { recursive: true });
  const { bavail, bsize } = statfsSync(directory);
  if (bavail * bsize >= DISK_BYTES_MIN) return;
  throw new Failure({
    code: 'disk.full',
    retry: 'no',
    message: `${directory} is on a disk with ${Math.round((bavail * bsize) / 1024 ** 2)} MiB left; 2 GiB are needed`,
    mend: 'Free some space, or clone the repository to another disk.',
  });
}

function has(command: string): boolean {
  const asked = ['-c', 'command -v "$1"', 'sh', command];
  return spawnSync('sh', asked, { stdio: 'ignore', env: toolEnvironment() }).status === 0;
}

/** @throws Failure `install.failed` with the end of what the command printed. */
export async function run(
  command: string,
  args: readonly string[],
  cwd: string,
  part: string,
  env: Readonly<Record<string, string>> = {},
): Promise<void> {
  const printed: Buffer[] = [];
  const status = await new Promise<number | null>((resolve) => {
    const child = spawn('env', [...pairs(env), command, ...args], {
      cwd,
      env: toolEnvironment(),
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    child.stdout.on('data', (bytes: Buffer) => printed.push(bytes));
    child.stderr.on('data', (bytes: Buffer) => printed.push(bytes));
    child.once('error', () => resolve(null));
    child.once('close', resolve);
  });
  if (status === 0) return;
  const said = Buffer.concat(printed).toString('utf8').trim().split('\n').slice(-3).join(' | ').slice(-600);
  throw new Failure({
    code: 'install.failed',
    retry: 'later',
    message: `${part} could not be installed: \`${command} ${args.join(' ')}\` ended with ${status ?? 'an error'}: ${said}`,
    mend: /no space left/i.test(said)
      ? 'Free some disk space and try again.'
      : 'Check that this machine reaches the internet (a proxy belongs in HTTPS_PROXY) and try again.',
  });
}

function pairs(env: Readonly<Record<string, string>>): string[] {
  return Object.entries(env).map(([name, value]) => `${name}=${value}`);
}
