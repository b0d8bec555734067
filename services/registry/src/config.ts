import { readConfig, shapes } from '@cairn/runtime';
import { z } from 'zod';

const schema = z.object({
  host: z.string().default('127.0.0.1'),
  port: shapes.port.default(18_081),
  /** Retention classes whose topics get a subject. */
  classes: shapes.classes,
  health: shapes.listening(18_082),
});

export type RegistryConfig = z.infer<typeof schema>;

/** The configuration of the registry, from the environment. @throws Failure `config.invalid` with every mistake. */
export function readRegistryConfig(
  env: Readonly<Record<string, string | undefined>> = process.env,
): RegistryConfig {
  return readConfig({
    name: 'registry',
    schema,
    env,
    names: {
      CAIRN_REGISTRY_HOST: 'host',
      CAIRN_REGISTRY_PORT: 'port',
      CAIRN_CLASSES: 'classes',
      CAIRN_REGISTRY_HEALTH_HOST: 'health.host',
      CAIRN_REGISTRY_HEALTH_PORT: 'health.port',
    },
  });
}
