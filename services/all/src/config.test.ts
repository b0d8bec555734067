import { isFailure } from '@cairn/failure';
import { describe, expect, test } from '@jest/globals';
import { readAllConfig } from './config.ts';

const INGEST = { KAFKA_BROKERS: 'k:9092', CLICKHOUSE_URL: 'http://c:8123' };

describe('the configuration of all', () => {
  test('each service reads what it reads when it is alone, and one that is not named reads nothing', () => {
    const config = readAllConfig({ ...INGEST, CAIRN_SERVICES: 'ingest, registry', CAIRN_CLASSES: 'a,b' });
    expect(config.gateway).toBeUndefined();
    expect(config.ingest).toMatchObject({ kafka: { brokers: ['k:9092'] }, classes: ['a', 'b'] });
    expect(config.registry).toMatchObject({ port: 18_081, classes: ['a', 'b'] });
  });

  test('forwarder and importer run where they are named, and nowhere else', () => {
    expect(() => readAllConfig({ CAIRN_SERVICES: 'forwarder,importer' })).toThrow(
      /configuration of forwarder.*destinations.*configuration of importer.*keys/s,
    );
    // Unless it is said, what is missing is of the others.
    try {
      readAllConfig({});
    } catch (error) {
      expect(String(error)).not.toMatch(/forwarder|importer/);
    }
  });

  test('the mistakes of all services are told at once', () => {
    const read = () => readAllConfig({ CAIRN_SERVICES: 'ingest,registry', CAIRN_REGISTRY_PORT: 'x' });
    expect(read).toThrow(/configuration of ingest.*configuration of registry.*CAIRN_REGISTRY_PORT/s);
  });

  test('a service that does not exist is a mistake', () => {
    try {
      readAllConfig({ ...INGEST, CAIRN_SERVICES: 'ingest,console' });
      expect('a failure').toBe('thrown');
    } catch (error) {
      expect(isFailure(error, 'config.invalid')).toBe(true);
    }
  });
});
