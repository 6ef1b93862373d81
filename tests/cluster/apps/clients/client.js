// client.js: Node.js' http and https as a client (the form is in clients.py).
const fs = require('fs'), http = require('http'), https = require('https');
const { CLIENT_CA, CLIENT_TLS, CLIENT_PATIENCE } = process.env;
const options = { ca: fs.readFileSync(CLIENT_CA), maxVersion: `TLSv${CLIENT_TLS}`, agent: false, timeout: 1000 * CLIENT_PATIENCE };
const WORDS = {
  ENOTFOUND: 'resolve', EAI_AGAIN: 'resolve', ECONNREFUSED: 'refused', CERT_HAS_EXPIRED: 'certificate',
  ERR_TLS_CERT_ALTNAME_INVALID: 'certificate', UNABLE_TO_VERIFY_LEAF_SIGNATURE: 'certificate',
};

function call(url) {
  return new Promise((done) => {
    const asked = (url.startsWith('https') ? https : http).get(url, options, (answer) => {
      answer.resume().on('end', () => done(answer.statusCode));
    });
    asked.on('timeout', () => { done('timeout'); asked.destroy(); });
    asked.on('error', (error) => done(WORDS[error.code] || `other:${error.code}`));
  });
}

(async () => {
  for (const line of fs.readFileSync(0, 'utf8').trim().split('\n')) {
    const [times, url] = line.split(' ');
    for (let n = 0; n < times; n++) console.log(url, await call(url));
  }
})();
