import { execFile } from 'node:child_process';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { Failure, messageOf } from '@cairn/failure';
import { installKafka } from './install.ts';
import type { LocalPart, Place } from './part.ts';
import { answers, freePort } from './running-process.ts';

/** A single Kafka node, broker and controller in one (KRaft), from the jars that Apache publishes. */
export const kafka: LocalPart = {
  readyMsMax: 60_000,
  address: (port) => `127.0.0.1:${port}`,
  ready: answers,
  async install(cache, progress) {
    await installKafka(cache, progress);
  },
  async prepare(cache, place) {
    const jars = await installKafka(cache, () => {});
    const classPath = join(jars, '*');
    mkdirSync(place.directory, { recursive: true });
    const properties = join(place.directory, 'server.properties');
    writeFileSync(properties, serverProperties(place, await freePort()));
    writeFileSync(join(place.directory, 'log4j2.properties'), LOG4J);
    const logging = `-Dlog4j2.configurationFile=${join(place.directory, 'log4j2.properties')}`;
    if (!existsSync(join(place.directory, 'log', 'meta.properties'))) {
      await format(classPath, properties, logging);
    }
    return {
      command: 'java',
      args: ['-Xms256m', '-Xmx1g', '-XX:+UseG1GC', logging, '-cp', classPath, 'kafka.Kafka', properties],
    };
  },
};

async function format(classPath: string, properties: string, logging: string): Promise<void> {
  const args = ['-Xmx256m', logging, '-cp', classPath, 'kafka.tools.StorageTool', 'format'];
  try {
    await promisify(execFile)('java', [...args, '-t', CLUSTER_ID, '-c', properties, '--ignore-formatted']);
  } catch (error) {
    throw new Failure({
      code: 'part.not-ready',
      retry: 'no',
      message: `Kafka's storage could not be formatted: ${messageOf(error).slice(-500)}`,
      mend: 'Java 17 or later is needed: java -version',
      cause: error,
    });
  }
}

/** Any 16 bytes in base64url; one node never meets another. */
const CLUSTER_ID = 'Y2Fpcm4tbG9jYWwta2Fma2E';

function serverProperties({ port, directory }: Place, controllerPort: number): string {
  return `# Written at each start.
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:${controllerPort}
listeners=PLAINTEXT://127.0.0.1:${port},CONTROLLER://127.0.0.1:${controllerPort}
advertised.listeners=PLAINTEXT://127.0.0.1:${port}
controller.listener.names=CONTROLLER
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs=${join(directory, 'log')}
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=1
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
auto.create.topics.enable=false
`;
}

const LOG4J = `rootLogger.level=warn
rootLogger.appenderRef.out.ref=out
appender.out.type=Console
appender.out.name=out
appender.out.layout.type=PatternLayout
appender.out.layout.pattern=%d %p %m (%c)%n
`;
