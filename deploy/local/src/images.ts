import type { PartName } from './config.ts';

/** Images of the parts; docker-compose.yml names the same. */
export const IMAGES: Readonly<Record<PartName, string>> = {
  kafka: 'apache/kafka:4.3.1',
  clickhouse: 'clickhouse/clickhouse-server:26.7.5.10',
  redis: 'redis:7.4.9-alpine',
  s3: 'versity/versitygw:v1.8.0',
};
