import { describe } from '@jest/globals';
import { holdWindowsToTheirPromises, LATENESS } from '../test/windows-contract.ts';
import { windowsInMemory } from '../test/windows-in-memory.ts';

describe('windows in memory', () => holdWindowsToTheirPromises(() => windowsInMemory(LATENESS)));
