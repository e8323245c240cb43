/**
 * Step 1: writes corpus.json, the text that the model is trained on. Made up here from a fixed seed, so that it carries nobody's licence.
 * A document is `{ t: story }` or `{ c: [[question, answer], …], sys: system message or null }`.
 */
import { writeFileSync } from 'node:fs';

const documents = 14_000;

let state = 12345;
function random() {
  state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
  return state / 2 ** 32;
}
// Every call takes one number, used or not: the order of calls is part of the seed.
const pick = (list) => list[Math.trunc(random() * list.length)];

const names = ['Lily', 'Tom', 'Ben', 'Mia', 'Anna', 'Sam', 'Max', 'Ella', 'Leo', 'Nora'];
const girls = ['Lily', 'Mia', 'Anna', 'Ella', 'Nora'];
const animals = ['cat', 'dog', 'bird', 'rabbit', 'fox', 'bear', 'frog', 'horse', 'duck', 'mouse'];
const places = ['the park', 'the forest', 'the beach', 'the garden', 'the river', 'the farm', 'the hill', 'the lake'];
const things = ['ball', 'book', 'kite', 'cake', 'hat', 'flower', 'boat', 'drum', 'lamp', 'key'];
const colors = ['red', 'blue', 'green', 'yellow', 'white', 'brown'];
const feelings = ['happy', 'sad', 'brave', 'curious', 'tired', 'excited'];
const adjectives = ['small', 'big', 'kind', 'funny', 'shy', 'clever'];

function story(wantedAnimal) {
  const name = pick(names);
  const animal = wantedAnimal ?? pick(animals);
  const place = pick(places);
  const thing = pick(things);
  const color = pick(colors);
  const isGirl = girls.includes(name);
  const [he, He, his, child] = isGirl ? ['she', 'She', 'her', 'girl'] : ['he', 'He', 'his', 'boy'];
  return [
    pick([
      `Once upon a time, there was a little ${child} named ${name}.`,
      `One day, a little ${child} named ${name} went to ${place}.`,
    ]),
    pick([`${name} had a ${pick(adjectives)} ${animal}.`, `${He} saw a ${pick(adjectives)} ${animal} near ${place}.`]),
    pick([
      `The ${animal} was ${pick(feelings)} because it lost its ${color} ${thing}.`,
      `The ${animal} had a ${color} ${thing}.`,
    ]),
    pick([`"Can I help you?" asked ${name}.`, `"Do you want to play with me?" asked ${name}.`]),
    pick([`The ${animal} said, "Yes, please!"`, `The ${animal} smiled and said, "Thank you!"`]),
    pick([
      `${name} and the ${animal} looked for the ${thing} together.`,
      `They played with the ${color} ${thing} all day.`,
    ]),
    pick([
      `Then ${he} went home and told ${his} mom about the ${animal}.`,
      `At last, they found the ${color} ${thing} under a tree.`,
    ]),
    pick([`From that day on, ${name} and the ${animal} were best friends.`, `They were very happy.`, `The end.`]),
  ].join(' ');
}

const capitals = {
  France: 'Paris',
  Germany: 'Berlin',
  Italy: 'Rome',
  Spain: 'Madrid',
  Japan: 'Tokyo',
  Egypt: 'Cairo',
  Norway: 'Oslo',
  Portugal: 'Lisbon',
  Greece: 'Athens',
  Austria: 'Vienna',
};
const colorOf = {
  'the sky': 'blue',
  grass: 'green',
  snow: 'white',
  'a banana': 'yellow',
  'a tomato': 'red',
  chocolate: 'brown',
};

function questionAndAnswer() {
  const kind = random();
  if (kind < 0.35) {
    const animal = pick(animals);
    const question = pick([
      `Tell me a story about a ${animal}.`,
      `Write a short story about a ${animal}.`,
      `A story with a ${animal}, please.`,
    ]);
    return [question, story(animal)];
  }
  if (kind < 0.55) {
    const country = pick(Object.keys(capitals));
    const question = pick([`What is the capital of ${country}?`, `Name the capital of ${country}.`]);
    return [question, `The capital of ${country} is ${capitals[country]}.`];
  }
  if (kind < 0.7) {
    const [a, b] = [Math.trunc(random() * 10), Math.trunc(random() * 9)];
    return [`What is ${a} plus ${b}?`, `${a} plus ${b} is ${a + b}.`];
  }
  if (kind < 0.8) {
    const thing = pick(Object.keys(colorOf));
    return [`What color is ${thing}?`, `${thing[0].toUpperCase()}${thing.slice(1)} is ${colorOf[thing]}.`];
  }
  if (kind < 0.9) {
    return [pick(['Hello', 'Hi', 'Hello!', 'Hi there', 'Good morning']), 'Hello! How can I help you today?'];
  }
  if (kind < 0.95) {
    const answer = 'I am a very small language model. I can tell stories and answer easy questions.';
    return [pick(['Who are you?', 'What are you?']), answer];
  }
  return [pick(['Thank you', 'Thanks!', 'Thank you!']), 'You are welcome!'];
}

function document() {
  if (random() < 0.35) return { t: story() };
  const turns = 1 + Math.trunc(random() * 2);
  const c = Array.from({ length: turns }, questionAndAnswer);
  return { c, sys: random() < 0.25 ? 'You are a helpful assistant.' : null };
}

const corpus = Array.from({ length: documents }, document);
writeFileSync('corpus.json', JSON.stringify(corpus));
process.stdout.write(`${corpus.length} documents\n`);
