// dockerode, as its documentation shows it. Arguments: the socket, a kind's image, a build's base image.
const assert = require('node:assert');
const { PassThrough } = require('node:stream');
const Docker = require('dockerode');

const [socketPath, image] = process.argv.slice(2);
const docker = new Docker({ socketPath });

function collected() {
  const stream = new PassThrough();
  stream.text = '';
  stream.on('data', (data) => { stream.text += data; });
  return stream;
}
const ended = (stream) => new Promise((resolve, reject) => stream.on('end', resolve).on('close', resolve).on('error', reject));

async function runs() {
  const out = collected(), error = collected();
  const [result, container] = await docker.run(image, ['both'], [out, error], { Tty: false });
  assert.deepStrictEqual([result.StatusCode, out.text, error.text], [0, 'to stdout\n', 'to stderr\n']);
  await container.remove();
}

async function life() {
  const made = await docker.createContainer({ Image: image, Cmd: ['lines'], OpenStdin: true, name: 'ode' });
  const stream = await made.attach({ stream: true, hijack: true, stdin: true, stdout: true, stderr: true });
  const out = collected();
  made.modem.demuxStream(stream, out, out);
  await made.start();
  const heard = (text) => new Promise((resolve) => {
    const look = () => (out.text.includes(text) ? resolve() : setTimeout(look, 5));
    look();
  });
  await heard('ready\n');
  stream.write('ahoy\n');
  await heard('got ahoy\n');

  const exec = await made.exec({ Cmd: ['/program', 'both'], AttachStdout: true, AttachStderr: true });
  const started = await exec.start({ hijack: true, stdin: false });
  const told = collected(), failed = collected();
  docker.modem.demuxStream(started, told, failed);
  await ended(started);
  assert.deepStrictEqual([told.text, failed.text], ['to stdout\n', 'to stderr\n']);
  assert.strictEqual((await exec.inspect()).ExitCode, 0);

  assert.ok((await made.stats({ stream: false })).memory_stats.usage > 0);
  assert.ok((await made.top()).Processes.length >= 1);
  await made.pause();
  assert.strictEqual((await made.inspect()).State.Status, 'paused');
  await made.unpause();
  await made.rename({ name: 'oder' });
  await made.update({ Memory: 64 << 20, MemorySwap: 64 << 20 });
  const archive = await made.getArchive({ path: '/seed/file' });
  let size = 0;
  for await (const piece of archive) size += piece.length;
  assert.ok(size >= 1536);
  stream.write('quit\n');
  assert.strictEqual((await made.wait()).StatusCode, 7);
  const logs = await made.logs({ stdout: true, follow: false });
  assert.ok(logs.toString().includes('got ahoy'));
  await made.remove();
  await assert.rejects(made.inspect(), (error) => error.statusCode === 404 && /No such container/.test(error.json.message));
}

async function nouns() {
  assert.ok((await docker.listImages()).some((one) => one.RepoTags.includes(`${image}:latest`)));
  assert.ok((await docker.getImage(image).inspect()).Id.startsWith('sha256:'));
  await docker.getImage(image).tag({ repo: 'ode-tag', tag: 'v1' });
  await docker.getImage('ode-tag:v1').remove();
  const volume = await docker.createVolume({ Name: 'ode-volume' });
  assert.strictEqual((await docker.getVolume('ode-volume').inspect()).Driver, 'local');
  await docker.getVolume('ode-volume').remove();
  const network = await docker.createNetwork({ Name: 'ode-net' });
  assert.strictEqual((await network.inspect()).Name, 'ode-net');
  await network.remove();
  assert.strictEqual((await docker.ping()).toString(), 'OK');
  assert.ok((await docker.version()).ApiVersion && (await docker.info()).ID && (await docker.df()).Images);
  await assert.rejects(docker.pull('nothing-there'), (error) => error.statusCode === 404);
  const events = await docker.getEvents({ since: 1, until: Math.ceil(Date.now() / 1000), filters: { type: ['container'] } });
  const said = collected();
  events.pipe(said);
  await ended(events);
  assert.ok(said.text.split('\n').filter(Boolean).map((line) => JSON.parse(line).Action).includes('die'));
}

runs().then(life).then(nouns).then(() => console.log('all is well'));
