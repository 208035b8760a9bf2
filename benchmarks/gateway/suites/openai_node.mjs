// The official `openai` client for Node: one line of JSON a test.
import OpenAI from 'openai';

const url = process.env.GATEWAY_URL, apiKey = process.env.GATEWAY_KEY, model = process.env.GATEWAY_MODEL ?? 'fast';
const client = new OpenAI({ baseURL: `${url}/v1`, apiKey, maxRetries: 0, timeout: 30000 });
const messages = [{ role: 'user', content: 'What is on the line?' }];
const tools = [{ type: 'function', function: { name: 'lookup', parameters: { type: 'object', properties: { part: { type: 'string' } }, required: ['part'] } } }];

function check(holds, what) {
  if (!holds) throw new Error(what);
}

async function refused(call, kind, code) {
  try {
    await call();
  } catch (error) {
    check(error instanceof kind, `${error.constructor.name} instead of ${kind.name}`);
    check(!code || error.code === code, `code ${error.code} instead of ${code}`);
    return;
  }
  throw new Error('it was not refused');
}

const tests = {
  async whole() {
    const answer = await client.chat.completions.create({ model, messages });
    check(answer.choices[0].message.content && answer.usage.completion_tokens > 0, 'no answer or no usage');
  },
  async streamed() {
    let text = '', usage = null;
    for await (const chunk of await client.chat.completions.create({ model, messages, stream: true, stream_options: { include_usage: true } })) {
      text += chunk.choices[0]?.delta?.content ?? '';
      usage = chunk.usage ?? usage;
    }
    check(text && usage?.total_tokens > 0, 'no text or no usage');
  },
  async 'stream helper'() {
    const final = await client.chat.completions.stream({ model, messages }).finalChatCompletion();
    check(final.choices[0].message.content, 'no text');
  },
  async 'a stream that is left'() {
    const stream = await client.chat.completions.create({ model, messages, stream: true });
    for await (const _ of stream) break;
  },
  async 'tools, a whole loop'() {
    let calls = 0;
    const run = client.chat.completions.runTools({
      model,
      messages: [{ role: 'user', content: 'Use the tool for a part.' }],
      tools: [{ type: 'function', function: { name: 'lookup', parse: JSON.parse, parameters: tools[0].function.parameters, function: () => { calls += 1; return 'a wheel'; } } }],
    });
    check((await run.finalContent()).includes('a wheel') && calls === 1, `calls: ${calls}`);
  },
  async responses() {
    const answer = await client.responses.create({ model, input: 'What is on the line?' });
    check(answer.output_text && answer.usage.output_tokens > 0, 'no text or no usage');
  },
  async 'responses, streamed'() {
    const kinds = [];
    for await (const event of await client.responses.create({ model, input: 'What?', stream: true })) kinds.push(event.type);
    check(kinds[0] === 'response.created' && kinds.at(-1) === 'response.completed', kinds.join(' '));
  },
  async embeddings() {
    const answer = await client.embeddings.create({ model: 'embed', input: ['one', 'two'] });
    check(answer.data.length === 2 && typeof answer.data[0].embedding[0] === 'number', 'no numbers');
  },
  async models() {
    const ids = [];
    for await (const each of client.models.list()) ids.push(each.id);
    check(ids.includes(model), ids.join(' '));
  },
  async 'an unknown model'() {
    await refused(() => client.chat.completions.create({ model: 'nobody', messages }), OpenAI.NotFoundError, 'model_not_found');
  },
  async 'a wrong key'() {
    await refused(() => new OpenAI({ baseURL: `${url}/v1`, apiKey: 'sk-wrong', maxRetries: 0 }).models.list(), OpenAI.AuthenticationError);
  },
  async 'too many choices'() {
    await refused(() => client.chat.completions.create({ model, messages, n: 1000 }), OpenAI.BadRequestError);
  },
};

for (const [name, test] of Object.entries(tests)) {
  let reason = '';
  try {
    await test();
  } catch (error) {
    reason = String(error.message ?? error).slice(0, 200);
  }
  console.log(JSON.stringify({ name, ok: reason === '', reason }));
}
