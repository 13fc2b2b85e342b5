BEGIN TRANSACTION;
CREATE TABLE accounts (
	tenant TEXT NOT NULL, 
	name TEXT NOT NULL, 
	currency TEXT NOT NULL, 
	balance_micros INTEGER NOT NULL, 
	credit_limit_micros INTEGER, 
	overdrawn INTEGER NOT NULL CHECK (overdrawn IN (0, 1)), 
	PRIMARY KEY (tenant, name, currency)
)
 STRICT

;
INSERT INTO "accounts" VALUES('acme','customer:zoe@rhea','EUR',26748000,5000000,0);
INSERT INTO "accounts" VALUES('acme','world','EUR',-127000000,NULL,0);
INSERT INTO "accounts" VALUES('acme','customer:rhea@acme','EUR',99898000,0,0);
INSERT INTO "accounts" VALUES('acme','session:1@zoe','EUR',4540000,0,0);
INSERT INTO "accounts" VALUES('acme','till:corner','EUR',-5170000,NULL,0);
INSERT INTO "accounts" VALUES('acme','revenue:zoe','EUR',630000,NULL,0);
INSERT INTO "accounts" VALUES('acme','revenue:rhea','EUR',252000,NULL,0);
INSERT INTO "accounts" VALUES('acme','revenue:acme','EUR',102000,NULL,0);
INSERT INTO "accounts" VALUES('acme','carrier_cost:acme','EUR',-80000,NULL,0);
INSERT INTO "accounts" VALUES('acme','payable:Mills','EUR',80000,NULL,0);
INSERT INTO "accounts" VALUES('acme','session:2@zoe','EUR',0,NULL,0);
CREATE TABLE alarms (
	tenant TEXT NOT NULL, 
	call_id TEXT NOT NULL, 
	shop TEXT NOT NULL, 
	booth TEXT NOT NULL, 
	dialled TEXT NOT NULL, 
	at_ms INTEGER NOT NULL, 
	acknowledged_at_ms INTEGER, 
	acknowledged_by TEXT, 
	PRIMARY KEY (tenant, call_id)
)
 STRICT

;
CREATE TABLE alembic_version (
	version_num TEXT NOT NULL, 
	PRIMARY KEY (version_num)
)
 STRICT

;
INSERT INTO "alembic_version" VALUES('8');
CREATE TABLE alerts (
	tenant TEXT NOT NULL, 
	id INTEGER NOT NULL, 
	raised_at_ms INTEGER NOT NULL, 
	kind TEXT NOT NULL, 
	action TEXT NOT NULL, 
	place TEXT NOT NULL, 
	name TEXT NOT NULL, 
	party TEXT NOT NULL, 
	shop TEXT, 
	rule TEXT NOT NULL, 
	prefix TEXT NOT NULL, 
	detail TEXT NOT NULL, 
	healed_at_ms INTEGER, 
	acked_at_ms INTEGER, 
	acked_by TEXT, 
	PRIMARY KEY (tenant, id)
)
 STRICT

;
CREATE TABLE bindings (
	tenant TEXT NOT NULL, 
	booth TEXT NOT NULL, 
	held TEXT NOT NULL, 
	PRIMARY KEY (tenant, booth)
)
 STRICT

;
CREATE TABLE booth_sessions (
	tenant TEXT NOT NULL, 
	id INTEGER NOT NULL, 
	booth TEXT NOT NULL, 
	owner TEXT NOT NULL, 
	opened_at_ms INTEGER NOT NULL, 
	opened_by TEXT NOT NULL, 
	version INTEGER NOT NULL, 
	closed_at_ms INTEGER, 
	paid INTEGER NOT NULL CHECK (paid IN (0, 1)), 
	deposit_micros INTEGER NOT NULL, 
	credit_limit_micros INTEGER, 
	talk_limit_ms INTEGER, 
	PRIMARY KEY (tenant, id), 
	FOREIGN KEY(tenant, booth) REFERENCES booths (tenant, name)
)
 STRICT

;
INSERT INTO "booth_sessions" VALUES('acme',1,'booth1','zoe',1700000000000,'ana',2,NULL,0,5000000,0,NULL);
INSERT INTO "booth_sessions" VALUES('acme',2,'gate','zoe',1700000000000,'ana',1,1700000000009,1,0,NULL,NULL);
CREATE TABLE booths (
	tenant TEXT NOT NULL, 
	name TEXT NOT NULL, 
	position INTEGER NOT NULL, 
	shop TEXT NOT NULL, 
	calls INTEGER NOT NULL, 
	auth TEXT NOT NULL, 
	ip TEXT, 
	ha1 TEXT NOT NULL, 
	disabled INTEGER NOT NULL CHECK (disabled IN (0, 1)), 
	caller_id TEXT NOT NULL, 
	inbound_numbers TEXT NOT NULL, 
	PRIMARY KEY (tenant, name), 
	FOREIGN KEY(tenant, shop) REFERENCES shops (tenant, name)
)
 STRICT

;
INSERT INTO "booths" VALUES('acme','booth2',0,'corner',1,'digest',NULL,'{"MD5":"01230123012301230123012301230123"}',0,'','[]');
INSERT INTO "booths" VALUES('acme','booth1',1,'corner',1,'digest',NULL,'{"MD5":"01230123012301230123012301230123"}',0,'','[]');
INSERT INTO "booths" VALUES('acme','gate',2,'corner',4,'ip','192.0.2.7','{}',0,'','[]');
CREATE TABLE called (
	tenant TEXT NOT NULL, 
	shop TEXT NOT NULL, 
	digits TEXT NOT NULL, 
	at_ms INTEGER NOT NULL, 
	PRIMARY KEY (tenant, shop, digits)
)
 STRICT

;
CREATE TABLE calls (
	tenant TEXT NOT NULL, 
	call_id TEXT NOT NULL, 
	process TEXT NOT NULL, 
	state TEXT NOT NULL, 
	shop TEXT NOT NULL, 
	booth TEXT NOT NULL, 
	session_id INTEGER, 
	kind TEXT NOT NULL, 
	dialled TEXT NOT NULL, 
	e164 TEXT, 
	destination TEXT, 
	setup_at_ms INTEGER NOT NULL, 
	trunk TEXT, 
	attempts TEXT NOT NULL, 
	leg_a_call_id TEXT NOT NULL, 
	leg_b_call_id TEXT, 
	parties TEXT NOT NULL, 
	dialog_a TEXT, 
	dialog_b TEXT, 
	pdd_ms INTEGER, 
	relayed_at_ms INTEGER, 
	relayed_mono_ms INTEGER, 
	granted_ms INTEGER, 
	direction TEXT NOT NULL, 
	PRIMARY KEY (tenant, call_id)
)
 STRICT

;
INSERT INTO "calls" VALUES('acme','c9','run-1','answered','corner','booth1',1,'call','0301234567','49301234567','Germany Berlin',1700000000000,'second','[["second",200,null,40,""]]','c9-a','c9-b','[["zoe","booth1","{\"deck\":\"walk-in\",\"version\":1,\"currency\":\"EUR\",\"round\":{\"mode\":\"half_up\",\"places\":2},\"duration_round\":\"ceil\",\"rate\":{\"prefix\":\"4930\",\"destination\":\"Germany Berlin\",\"connect_fee\":\"0.05\",\"first_s\":60,\"first_price\":\"0.12\",\"next_s\":60,\"next_price\":\"0.12\",\"forbidden\":false}}"],["rhea","zoe","{\"deck\":\"owner\",\"version\":1,\"currency\":\"EUR\",\"round\":{\"mode\":\"half_up\",\"places\":6},\"duration_round\":\"ceil\",\"rate\":{\"prefix\":\"4930\",\"destination\":\"Germany Berlin\",\"connect_fee\":\"0.00\",\"first_s\":30,\"first_price\":\"0.12\",\"next_s\":6,\"next_price\":\"0.12\",\"forbidden\":false}}"],["acme","rhea","{\"deck\":\"mills\",\"version\":7,\"currency\":\"EUR\",\"round\":{\"mode\":\"up\",\"places\":4},\"duration_round\":\"floor\",\"rate\":{\"prefix\":\"4930\",\"destination\":\"Germany Berlin\",\"connect_fee\":\"0.00\",\"first_s\":1,\"first_price\":\"0.09\",\"next_s\":1,\"next_price\":\"0.09\",\"forbidden\":false}}"],["Mills","acme","{\"deck\":\"carrier\",\"version\":1,\"currency\":\"EUR\",\"round\":{\"mode\":\"half_up\",\"places\":2},\"duration_round\":\"ceil\",\"rate\":{\"prefix\":\"4930\",\"destination\":\"Germany Berlin\",\"connect_fee\":\"0.00\",\"first_s\":1,\"first_price\":\"0.07\",\"next_s\":1,\"next_price\":\"0.07\",\"forbidden\":false}}"]]','{"local_tag":"ü","route_set":[]}','{"cseq":1}',40,1700000000800,100,60000,'outbound');
CREATE TABLE cdrs (
	tenant TEXT NOT NULL, 
	call_id TEXT NOT NULL, 
	revision INTEGER NOT NULL, 
	kind TEXT NOT NULL, 
	direction TEXT NOT NULL, 
	shop TEXT NOT NULL, 
	booth TEXT NOT NULL, 
	session_id INTEGER, 
	dialled TEXT NOT NULL, 
	e164 TEXT, 
	destination TEXT, 
	setup_at_ms INTEGER NOT NULL, 
	answered_at_ms INTEGER, 
	ended_at_ms INTEGER NOT NULL, 
	pdd_ms INTEGER, 
	talk_ms INTEGER NOT NULL, 
	result TEXT NOT NULL, 
	sip_status INTEGER, 
	q850 INTEGER, 
	hung_up_by TEXT, 
	trunk TEXT, 
	attempts TEXT NOT NULL, 
	leg_a_call_id TEXT, 
	leg_b_call_id TEXT, 
	recovered INTEGER NOT NULL CHECK (recovered IN (0, 1)), 
	PRIMARY KEY (tenant, call_id, revision)
)
 STRICT

;
INSERT INTO "cdrs" VALUES('acme','c1',0,'call','outbound','corner','booth1',1,'0301234567','49301234567','Germany Berlin',1700000000000,1700000000900,1700000062900,40,62000,'answered',200,16,'caller','second','[["first",503,null,null,""]]','c1-a','c1-b',0);
INSERT INTO "cdrs" VALUES('acme','c2',0,'call','outbound','corner','booth1',1,'0301234567','49301234567','Germany Berlin',1700000000000,NULL,1700000000900,40,0,'cancelled',487,16,'caller','second','[["first",503,null,null,""]]','c2-a','c2-b',0);
INSERT INTO "cdrs" VALUES('acme','c3',0,'call','outbound','corner','booth1',1,'0301234567','49301234567','Germany Berlin',1700000000000,1700000000900,1700000001900,40,1000,'answered',200,16,'caller','second','[["first",503,null,null,""]]','c3-a','c3-b',0);
INSERT INTO "cdrs" VALUES('acme','g1',0,'call','outbound','corner','gate',2,'0301234567','49301234567','Germany Berlin',1700000000000,1700000000900,1700000005900,40,5000,'answered',200,16,'caller','second','[["first",503,null,null,""]]','g1-a','g1-b',0);
CREATE TABLE charges (
	tenant TEXT NOT NULL, 
	call_id TEXT NOT NULL, 
	revision INTEGER NOT NULL, 
	level INTEGER NOT NULL, 
	seller TEXT NOT NULL, 
	buyer TEXT NOT NULL, 
	currency TEXT NOT NULL, 
	amount_micros INTEGER NOT NULL, 
	duration_s INTEGER NOT NULL, 
	billed_s INTEGER NOT NULL, 
	tariff TEXT NOT NULL, 
	lines TEXT NOT NULL, 
	bill_version INTEGER, 
	PRIMARY KEY (tenant, call_id, revision, level)
)
 STRICT

;
INSERT INTO "charges" VALUES('acme','c1',0,0,'zoe','booth1','EUR',290000,62,120,'{"deck":"walk-in","version":1,"currency":"EUR","round":{"mode":"half_up","places":2},"duration_round":"ceil","rate":{"prefix":"4930","destination":"Germany Berlin","connect_fee":"0.05","first_s":60,"first_price":"0.12","next_s":60,"next_price":"0.12","forbidden":false}}','[["fee",0,50000000,3000000000],["first",60,120000000,7200000000],["next",60,120000000,7200000000]]',1);
INSERT INTO "charges" VALUES('acme','c1',0,1,'rhea','zoe','EUR',132000,62,66,'{"deck":"owner","version":1,"currency":"EUR","round":{"mode":"half_up","places":6},"duration_round":"ceil","rate":{"prefix":"4930","destination":"Germany Berlin","connect_fee":"0.00","first_s":30,"first_price":"0.12","next_s":6,"next_price":"0.12","forbidden":false}}','[["first",30,120000000,3600000000],["next",36,120000000,4320000000]]',NULL);
INSERT INTO "charges" VALUES('acme','c1',0,2,'acme','rhea','EUR',93000,62,62,'{"deck":"mills","version":7,"currency":"EUR","round":{"mode":"up","places":4},"duration_round":"floor","rate":{"prefix":"4930","destination":"Germany Berlin","connect_fee":"0.00","first_s":1,"first_price":"0.09","next_s":1,"next_price":"0.09","forbidden":false}}','[["first",1,90000000,90000000],["next",61,90000000,5490000000]]',NULL);
INSERT INTO "charges" VALUES('acme','c1',0,3,'Mills','acme','EUR',70000,62,62,'{"deck":"carrier","version":1,"currency":"EUR","round":{"mode":"half_up","places":2},"duration_round":"ceil","rate":{"prefix":"4930","destination":"Germany Berlin","connect_fee":"0.00","first_s":1,"first_price":"0.07","next_s":1,"next_price":"0.07","forbidden":false}}','[["first",1,70000000,70000000],["next",61,70000000,4270000000]]',NULL);
INSERT INTO "charges" VALUES('acme','c3',0,0,'zoe','booth1','EUR',170000,1,60,'{"deck":"walk-in","version":1,"currency":"EUR","round":{"mode":"half_up","places":2},"duration_round":"ceil","rate":{"prefix":"4930","destination":"Germany Berlin","connect_fee":"0.05","first_s":60,"first_price":"0.12","next_s":60,"next_price":"0.12","forbidden":false}}','[["fee",0,50000000,3000000000],["first",60,120000000,7200000000]]',2);
INSERT INTO "charges" VALUES('acme','c3',0,1,'rhea','zoe','EUR',60000,1,30,'{"deck":"owner","version":1,"currency":"EUR","round":{"mode":"half_up","places":6},"duration_round":"ceil","rate":{"prefix":"4930","destination":"Germany Berlin","connect_fee":"0.00","first_s":30,"first_price":"0.12","next_s":6,"next_price":"0.12","forbidden":false}}','[["first",30,120000000,3600000000]]',NULL);
INSERT INTO "charges" VALUES('acme','c3',0,2,'acme','rhea','EUR',1500,1,1,'{"deck":"mills","version":7,"currency":"EUR","round":{"mode":"up","places":4},"duration_round":"floor","rate":{"prefix":"4930","destination":"Germany Berlin","connect_fee":"0.00","first_s":1,"first_price":"0.09","next_s":1,"next_price":"0.09","forbidden":false}}','[["first",1,90000000,90000000]]',NULL);
INSERT INTO "charges" VALUES('acme','c3',0,3,'Mills','acme','EUR',0,1,1,'{"deck":"carrier","version":1,"currency":"EUR","round":{"mode":"half_up","places":2},"duration_round":"ceil","rate":{"prefix":"4930","destination":"Germany Berlin","connect_fee":"0.00","first_s":1,"first_price":"0.07","next_s":1,"next_price":"0.07","forbidden":false}}','[["first",1,70000000,70000000]]',NULL);
INSERT INTO "charges" VALUES('acme','g1',0,0,'zoe','gate','EUR',170000,5,60,'{"deck":"walk-in","version":1,"currency":"EUR","round":{"mode":"half_up","places":2},"duration_round":"ceil","rate":{"prefix":"4930","destination":"Germany Berlin","connect_fee":"0.05","first_s":60,"first_price":"0.12","next_s":60,"next_price":"0.12","forbidden":false}}','[["fee",0,50000000,3000000000],["first",60,120000000,7200000000]]',1);
INSERT INTO "charges" VALUES('acme','g1',0,1,'rhea','zoe','EUR',60000,5,30,'{"deck":"owner","version":1,"currency":"EUR","round":{"mode":"half_up","places":6},"duration_round":"ceil","rate":{"prefix":"4930","destination":"Germany Berlin","connect_fee":"0.00","first_s":30,"first_price":"0.12","next_s":6,"next_price":"0.12","forbidden":false}}','[["first",30,120000000,3600000000]]',NULL);
INSERT INTO "charges" VALUES('acme','g1',0,2,'acme','rhea','EUR',7500,5,5,'{"deck":"mills","version":7,"currency":"EUR","round":{"mode":"up","places":4},"duration_round":"floor","rate":{"prefix":"4930","destination":"Germany Berlin","connect_fee":"0.00","first_s":1,"first_price":"0.09","next_s":1,"next_price":"0.09","forbidden":false}}','[["first",1,90000000,90000000],["next",4,90000000,360000000]]',NULL);
INSERT INTO "charges" VALUES('acme','g1',0,3,'Mills','acme','EUR',10000,5,5,'{"deck":"carrier","version":1,"currency":"EUR","round":{"mode":"half_up","places":2},"duration_round":"ceil","rate":{"prefix":"4930","destination":"Germany Berlin","connect_fee":"0.00","first_s":1,"first_price":"0.07","next_s":1,"next_price":"0.07","forbidden":false}}','[["first",1,70000000,70000000],["next",4,70000000,280000000]]',NULL);
CREATE TABLE deck_versions (
	tenant TEXT NOT NULL, 
	deck TEXT NOT NULL, 
	version INTEGER NOT NULL, 
	state TEXT NOT NULL, 
	origin TEXT NOT NULL, 
	base INTEGER, 
	imported INTEGER NOT NULL CHECK (imported IN (0, 1)), 
	author TEXT NOT NULL, 
	party TEXT NOT NULL, 
	reason TEXT NOT NULL, 
	source TEXT NOT NULL, 
	made_at_ms INTEGER NOT NULL, 
	from_ms INTEGER, 
	PRIMARY KEY (tenant, deck, version)
)
 STRICT

;
INSERT INTO "deck_versions" VALUES('acme','walk-in',1,'published','apply',NULL,0,'world','acme','','',1700000000000,1700000000000);
INSERT INTO "deck_versions" VALUES('acme','mills',7,'published','apply',NULL,0,'world','acme','','',1700000000000,1700000000000);
INSERT INTO "deck_versions" VALUES('acme','owner',1,'published','apply',NULL,0,'world','acme','','',1700000000000,1700000000000);
INSERT INTO "deck_versions" VALUES('acme','carrier',1,'published','apply',NULL,0,'world','acme','','',1700000000000,1700000000000);
CREATE TABLE decks (
	tenant TEXT NOT NULL, 
	name TEXT NOT NULL, 
	version INTEGER NOT NULL, 
	position INTEGER NOT NULL, 
	header TEXT NOT NULL, 
	PRIMARY KEY (tenant, name, version)
)
 STRICT

;
INSERT INTO "decks" VALUES('acme','walk-in',1,0,'{"currency":"EUR","round":{"mode":"half_up","places":2},"duration_round":"ceil","timezone":"UTC","windows":{},"window_policy":"start","change_policy":"freeze","increment_rule":"standard"}');
INSERT INTO "decks" VALUES('acme','mills',7,1,'{"currency":"EUR","round":{"mode":"up","places":4},"duration_round":"floor","timezone":"UTC","windows":{},"window_policy":"start","change_policy":"freeze","increment_rule":"standard"}');
INSERT INTO "decks" VALUES('acme','owner',1,2,'{"currency":"EUR","round":{"mode":"half_up","places":6},"duration_round":"ceil","timezone":"UTC","windows":{},"window_policy":"start","change_policy":"freeze","increment_rule":"standard"}');
INSERT INTO "decks" VALUES('acme','carrier',1,3,'{"currency":"EUR","round":{"mode":"half_up","places":2},"duration_round":"ceil","timezone":"UTC","windows":{},"window_policy":"start","change_policy":"freeze","increment_rule":"standard"}');
CREATE TABLE desk_log (
	tenant TEXT NOT NULL, 
	id INTEGER NOT NULL, 
	at_ms INTEGER NOT NULL, 
	author TEXT NOT NULL, 
	action TEXT NOT NULL, 
	subject TEXT NOT NULL, 
	detail TEXT NOT NULL, 
	PRIMARY KEY (tenant, id)
)
 STRICT

;
INSERT INTO "desk_log" VALUES('acme',1,1700000000000,'ana','unlock','booth1','session 1, deposit 5.00 EUR');
INSERT INTO "desk_log" VALUES('acme',2,1700000000000,'ana','unlock','gate','session 2');
INSERT INTO "desk_log" VALUES('acme',3,1700000000009,'ana','pay','gate','session 2, 0.17 EUR, tendered 0.20 EUR');
INSERT INTO "desk_log" VALUES('acme',4,1700000000010,'root','payment','zoe','7.00 EUR, bank');
INSERT INTO "desk_log" VALUES('acme',5,1700000000000,'start','add token','abababababababab','provider of acme: demo');
INSERT INTO "desk_log" VALUES('acme',6,1700000000011,'root','suspend','rhea','by acme');
CREATE TABLE export_parked (
	tenant TEXT NOT NULL, 
	target TEXT NOT NULL, 
	number INTEGER NOT NULL, 
	why TEXT NOT NULL, 
	at_ms INTEGER NOT NULL, 
	is_due INTEGER NOT NULL CHECK (is_due IN (0, 1)), 
	PRIMARY KEY (tenant, target, number)
)
 STRICT

;
CREATE TABLE export_targets (
	tenant TEXT NOT NULL, 
	target TEXT NOT NULL, 
	first INTEGER NOT NULL, 
	taken INTEGER NOT NULL, 
	delivered INTEGER NOT NULL, 
	skipped INTEGER NOT NULL, 
	PRIMARY KEY (tenant, target)
)
 STRICT

;
CREATE TABLE farewells (
	call_id TEXT NOT NULL, 
	local_tag TEXT NOT NULL, 
	remote_tag TEXT NOT NULL, 
	dialog TEXT NOT NULL, 
	PRIMARY KEY (call_id, local_tag, remote_tag)
)
 STRICT

;
CREATE TABLE fx_pairs (
	tenant TEXT NOT NULL, 
	pair TEXT NOT NULL, 
	position INTEGER NOT NULL, 
	terms TEXT NOT NULL, 
	PRIMARY KEY (tenant, pair)
)
 STRICT

;
INSERT INTO "fx_pairs" VALUES('acme','EUR/TND',0,'{"rates":{"2026-11-20":"3.4"},"margin_ppm":10000,"holds_days":30}');
CREATE TABLE invoices (
	tenant TEXT NOT NULL, 
	seller TEXT NOT NULL, 
	series TEXT NOT NULL, 
	number INTEGER NOT NULL, 
	name TEXT NOT NULL, 
	buyer TEXT NOT NULL, 
	currency TEXT NOT NULL, 
	from_ms INTEGER NOT NULL, 
	until_ms INTEGER NOT NULL, 
	last_transfer INTEGER NOT NULL, 
	opening_micros INTEGER NOT NULL, 
	net_micros INTEGER NOT NULL, 
	tax_micros INTEGER NOT NULL, 
	closing_micros INTEGER NOT NULL, 
	closed_at_ms INTEGER NOT NULL, 
	author TEXT NOT NULL, 
	document TEXT NOT NULL, 
	sha256 TEXT NOT NULL, 
	PRIMARY KEY (tenant, seller, series, number), 
	UNIQUE (tenant, seller, name), 
	UNIQUE (tenant, buyer, seller, until_ms)
)
 STRICT

;
CREATE TABLE letterheads (
	tenant TEXT NOT NULL, 
	party TEXT NOT NULL, 
	position INTEGER NOT NULL, 
	terms TEXT NOT NULL, 
	PRIMARY KEY (tenant, party)
)
 STRICT

;
CREATE TABLE limit_stands (
	tenant TEXT NOT NULL, 
	place TEXT NOT NULL, 
	name TEXT NOT NULL, 
	rule TEXT NOT NULL, 
	prefix TEXT NOT NULL, 
	standing TEXT NOT NULL, 
	since_ms INTEGER NOT NULL, 
	until_ms INTEGER, 
	PRIMARY KEY (tenant, place, name, rule, prefix)
)
 STRICT

;
CREATE TABLE limits (
	tenant TEXT NOT NULL, 
	place TEXT NOT NULL, 
	name TEXT NOT NULL, 
	position INTEGER NOT NULL, 
	terms TEXT NOT NULL, 
	PRIMARY KEY (tenant, place, name)
)
 STRICT

;
CREATE TABLE logins (
	tenant TEXT NOT NULL, 
	operator TEXT NOT NULL, 
	password TEXT NOT NULL, 
	totp TEXT, 
	totp_step INTEGER NOT NULL, 
	language TEXT NOT NULL, 
	changed_at_ms INTEGER NOT NULL, 
	PRIMARY KEY (tenant, operator)
)
 STRICT

;
CREATE TABLE meta (
	"key" TEXT NOT NULL, 
	value BLOB NOT NULL, 
	PRIMARY KEY ("key")
)
 STRICT

;
INSERT INTO "meta" VALUES('schema_version',X'38');
INSERT INTO "meta" VALUES('secret',X'7373737373737373737373737373737373737373737373737373737373737373');
INSERT INTO "meta" VALUES('process',X'72756E2D31');
CREATE TABLE operators (
	tenant TEXT NOT NULL, 
	name TEXT NOT NULL, 
	position INTEGER NOT NULL, 
	role TEXT NOT NULL, 
	party TEXT NOT NULL, 
	shop TEXT, 
	suspended INTEGER NOT NULL CHECK (suspended IN (0, 1)), 
	PRIMARY KEY (tenant, name), 
	FOREIGN KEY(tenant, party) REFERENCES parties (tenant, name), 
	FOREIGN KEY(tenant, shop) REFERENCES shops (tenant, name)
)
 STRICT

;
CREATE TABLE outbox (
	tenant TEXT NOT NULL, 
	number INTEGER NOT NULL, 
	call_id TEXT NOT NULL, 
	revision INTEGER NOT NULL, 
	gone INTEGER NOT NULL CHECK (gone IN (0, 1)), 
	PRIMARY KEY (tenant, number), 
	UNIQUE (tenant, call_id, revision)
)
 WITHOUT ROWID,
 STRICT

;
INSERT INTO "outbox" VALUES('acme',1,'c1',0,0);
INSERT INTO "outbox" VALUES('acme',2,'c2',0,0);
INSERT INTO "outbox" VALUES('acme',3,'c3',0,0);
INSERT INTO "outbox" VALUES('acme',4,'g1',0,0);
CREATE TABLE parties (
	tenant TEXT NOT NULL, 
	name TEXT NOT NULL, 
	position INTEGER NOT NULL, 
	kind TEXT NOT NULL, 
	parent TEXT, 
	deck TEXT, 
	guard TEXT NOT NULL, 
	suspender TEXT, 
	PRIMARY KEY (tenant, name), 
	FOREIGN KEY(tenant, parent) REFERENCES parties (tenant, name) DEFERRABLE INITIALLY DEFERRED
)
 STRICT

;
INSERT INTO "parties" VALUES('acme','zoe',0,'owner','rhea','owner','{"action":"warn","margin_ppm":0,"mean_s":180}',NULL);
INSERT INTO "parties" VALUES('acme','acme',1,'provider',NULL,NULL,'{"action":"refuse","margin_ppm":50000,"mean_s":90}',NULL);
INSERT INTO "parties" VALUES('acme','rhea',2,'reseller','acme','mills','{"action":"warn","margin_ppm":0,"mean_s":180}','acme');
CREATE TABLE payment_taxes (
	tenant TEXT NOT NULL, 
	session_id INTEGER NOT NULL, 
	number INTEGER NOT NULL, 
	tax TEXT NOT NULL, 
	currency TEXT NOT NULL, 
	net_micros INTEGER NOT NULL, 
	tax_micros INTEGER NOT NULL, 
	gross_micros INTEGER NOT NULL, 
	PRIMARY KEY (tenant, session_id, number), 
	FOREIGN KEY(tenant, session_id) REFERENCES payments (tenant, session_id)
)
 STRICT

;
CREATE TABLE payments (
	tenant TEXT NOT NULL, 
	session_id INTEGER NOT NULL, 
	version INTEGER NOT NULL, 
	currency TEXT NOT NULL, 
	total_micros INTEGER NOT NULL, 
	deposit_micros INTEGER NOT NULL, 
	tendered_micros INTEGER NOT NULL, 
	change_micros INTEGER NOT NULL, 
	author TEXT NOT NULL, 
	at_ms INTEGER NOT NULL, 
	PRIMARY KEY (tenant, session_id), 
	FOREIGN KEY(tenant, session_id) REFERENCES booth_sessions (tenant, id)
)
 STRICT

;
INSERT INTO "payments" VALUES('acme',2,1,'EUR',170000,0,200000,30000,'ana',1700000000009);
CREATE TABLE processes (
	process TEXT NOT NULL, 
	mono_ms INTEGER NOT NULL, 
	utc_ms INTEGER NOT NULL, 
	PRIMARY KEY (process)
)
 STRICT

;
INSERT INTO "processes" VALUES('run-1',5000,1700000004900);
CREATE TABLE rates (
	tenant TEXT NOT NULL, 
	deck TEXT NOT NULL, 
	version INTEGER NOT NULL, 
	prefix TEXT NOT NULL, 
	position INTEGER NOT NULL, 
	destination TEXT NOT NULL, 
	connect_fee_nanos INTEGER NOT NULL, 
	first_s INTEGER NOT NULL, 
	first_price_nanos INTEGER NOT NULL, 
	next_s INTEGER NOT NULL, 
	next_price_nanos INTEGER NOT NULL, 
	forbidden INTEGER NOT NULL CHECK (forbidden IN (0, 1)), 
	extras TEXT NOT NULL, 
	PRIMARY KEY (tenant, deck, version, position), 
	FOREIGN KEY(tenant, deck, version) REFERENCES decks (tenant, name, version)
)
 STRICT

;
INSERT INTO "rates" VALUES('acme','walk-in',1,'4930',0,'Germany Berlin',50000000,60,120000000,60,120000000,0,'{}');
INSERT INTO "rates" VALUES('acme','walk-in',1,'49900',1,'Premium',50000000,60,120000000,60,120000000,1,'{}');
INSERT INTO "rates" VALUES('acme','mills',7,'4930',0,'Germany Berlin',0,1,90000000,1,90000000,0,'{}');
INSERT INTO "rates" VALUES('acme','owner',1,'4930',0,'Germany Berlin',0,30,120000000,6,120000000,0,'{}');
INSERT INTO "rates" VALUES('acme','carrier',1,'4930',0,'Germany Berlin',0,1,70000000,1,70000000,0,'{}');
CREATE TABLE rerated (
	tenant TEXT NOT NULL, 
	call_id TEXT NOT NULL, 
	revision INTEGER NOT NULL, 
	batch TEXT NOT NULL, 
	PRIMARY KEY (tenant, call_id, revision)
)
 STRICT

;
CREATE TABLE rerating_batches (
	tenant TEXT NOT NULL, 
	id TEXT NOT NULL, 
	asked TEXT NOT NULL, 
	author TEXT NOT NULL, 
	reason TEXT NOT NULL, 
	begun_at_ms INTEGER NOT NULL, 
	done_at_ms INTEGER, 
	PRIMARY KEY (tenant, id)
)
 STRICT

;
CREATE TABLE retention (
	tenant TEXT NOT NULL, 
	work TEXT NOT NULL, 
	until_ms INTEGER NOT NULL, 
	PRIMARY KEY (tenant, work)
)
 STRICT

;
CREATE TABLE routes (
	tenant TEXT NOT NULL, 
	party TEXT NOT NULL, 
	prefix TEXT NOT NULL, 
	position INTEGER NOT NULL, 
	choices TEXT NOT NULL, 
	PRIMARY KEY (tenant, party, prefix), 
	FOREIGN KEY(tenant, party) REFERENCES parties (tenant, name)
)
 STRICT

;
INSERT INTO "routes" VALUES('acme','acme','49',0,'[["second",1,1],["first",2,3]]');
INSERT INTO "routes" VALUES('acme','rhea','49',1,'[["first",1,1]]');
CREATE TABLE session_notes (
	tenant TEXT NOT NULL, 
	session_id INTEGER NOT NULL, 
	note TEXT NOT NULL, 
	author TEXT NOT NULL, 
	at_ms INTEGER NOT NULL, 
	PRIMARY KEY (tenant, session_id), 
	FOREIGN KEY(tenant, session_id) REFERENCES booth_sessions (tenant, id)
)
 STRICT

;
CREATE TABLE sheet_mappings (
	tenant TEXT NOT NULL, 
	party TEXT NOT NULL, 
	name TEXT NOT NULL, 
	mapping TEXT NOT NULL, 
	author TEXT NOT NULL, 
	at_ms INTEGER NOT NULL, 
	PRIMARY KEY (tenant, party, name)
)
 STRICT

;
CREATE TABLE shops (
	tenant TEXT NOT NULL, 
	name TEXT NOT NULL, 
	position INTEGER NOT NULL, 
	owner TEXT NOT NULL, 
	deck TEXT NOT NULL, 
	currency TEXT NOT NULL, 
	realm TEXT NOT NULL, 
	digest TEXT NOT NULL, 
	numbers TEXT NOT NULL, 
	caller_id TEXT NOT NULL, 
	inbound TEXT NOT NULL, 
	inbound_numbers TEXT NOT NULL, 
	transfer INTEGER NOT NULL, 
	PRIMARY KEY (tenant, name), 
	FOREIGN KEY(tenant, owner) REFERENCES parties (tenant, name)
)
 STRICT

;
INSERT INTO "shops" VALUES('acme','corner',0,'zoe','walk-in','EUR','corner.acme.example','["SHA-256","MD5"]','{"country_code":"49","international_prefix":"00","national_prefix":"0","emergency":["112","110"]}','','never','[]',0);
CREATE TABLE taxes (
	tenant TEXT NOT NULL, 
	sold TEXT NOT NULL, 
	place TEXT NOT NULL, 
	position INTEGER NOT NULL, 
	terms TEXT NOT NULL, 
	PRIMARY KEY (tenant, sold, place)
)
 STRICT

;
INSERT INTO "taxes" VALUES('acme','party','rhea',0,'{"name":"VAT","percent":"20","mode":"added"}');
INSERT INTO "taxes" VALUES('acme','shop','corner',1,'{"name":"TVA","percent":"8.1","mode":"included"}');
CREATE TABLE tokens (
	tenant TEXT NOT NULL, 
	sha256 TEXT NOT NULL, 
	role TEXT NOT NULL, 
	party TEXT NOT NULL, 
	shop TEXT, 
	label TEXT NOT NULL, 
	created_at_ms INTEGER NOT NULL, 
	expires_at_ms INTEGER, 
	revoked_at_ms INTEGER, 
	operator TEXT, 
	PRIMARY KEY (tenant, sha256), 
	UNIQUE (sha256)
)
 STRICT

;
INSERT INTO "tokens" VALUES('acme','abababababababababababababababababababababababababababababababab','provider','acme',NULL,'demo',1700000000000,NULL,NULL,NULL);
CREATE TABLE transfers (
	tenant TEXT NOT NULL, 
	"key" TEXT NOT NULL, 
	kind TEXT NOT NULL, 
	debit TEXT NOT NULL, 
	credit TEXT NOT NULL, 
	currency TEXT NOT NULL, 
	amount_micros INTEGER NOT NULL CHECK (amount_micros >= 0), 
	author TEXT NOT NULL, 
	reason TEXT NOT NULL, 
	at_ms INTEGER NOT NULL, 
	PRIMARY KEY (tenant, "key")
)
 STRICT

;
INSERT INTO "transfers" VALUES('acme','opening:customer:zoe@rhea','opening','world','customer:zoe@rhea','EUR',20000000,'world','',1700000000000);
INSERT INTO "transfers" VALUES('acme','opening:customer:rhea@acme','opening','world','customer:rhea@acme','EUR',100000000,'world','',1700000000000);
INSERT INTO "transfers" VALUES('acme','deposit:1:1','deposit','till:corner','session:1@zoe','EUR',5000000,'ana','',1700000000000);
INSERT INTO "transfers" VALUES('acme','c1:0:0','charge','session:1@zoe','revenue:zoe','EUR',290000,'switch','',1700000062900);
INSERT INTO "transfers" VALUES('acme','c1:1:0','charge','customer:zoe@rhea','revenue:rhea','EUR',132000,'switch','',1700000062900);
INSERT INTO "transfers" VALUES('acme','c1:2:0','charge','customer:rhea@acme','revenue:acme','EUR',93000,'switch','',1700000062900);
INSERT INTO "transfers" VALUES('acme','c1:3:0','charge','carrier_cost:acme','payable:Mills','EUR',70000,'switch','',1700000062900);
INSERT INTO "transfers" VALUES('acme','c3:0:0','charge','session:1@zoe','revenue:zoe','EUR',170000,'switch','',1700000001900);
INSERT INTO "transfers" VALUES('acme','c3:1:0','charge','customer:zoe@rhea','revenue:rhea','EUR',60000,'switch','',1700000001900);
INSERT INTO "transfers" VALUES('acme','c3:2:0','charge','customer:rhea@acme','revenue:acme','EUR',1500,'switch','',1700000001900);
INSERT INTO "transfers" VALUES('acme','g1:0:0','charge','session:2@zoe','revenue:zoe','EUR',170000,'switch','',1700000005900);
INSERT INTO "transfers" VALUES('acme','g1:1:0','charge','customer:zoe@rhea','revenue:rhea','EUR',60000,'switch','',1700000005900);
INSERT INTO "transfers" VALUES('acme','g1:2:0','charge','customer:rhea@acme','revenue:acme','EUR',7500,'switch','',1700000005900);
INSERT INTO "transfers" VALUES('acme','g1:3:0','charge','carrier_cost:acme','payable:Mills','EUR',10000,'switch','',1700000005900);
INSERT INTO "transfers" VALUES('acme','checkout:2','checkout','till:corner','session:2@zoe','EUR',170000,'ana','',1700000000009);
INSERT INTO "transfers" VALUES('acme','payment:p1','payment','world','customer:zoe@rhea','EUR',7000000,'root','bank',1700000000010);
CREATE TABLE trunks (
	tenant TEXT NOT NULL, 
	name TEXT NOT NULL, 
	position INTEGER NOT NULL, 
	host TEXT NOT NULL, 
	port INTEGER NOT NULL, 
	transport TEXT NOT NULL, 
	emergency INTEGER NOT NULL CHECK (emergency IN (0, 1)), 
	answer_timeout_s INTEGER NOT NULL, 
	first_response_timeout_s INTEGER NOT NULL, 
	carrier TEXT NOT NULL, 
	deck TEXT NOT NULL, 
	max_calls INTEGER, 
	cps INTEGER, 
	disabled INTEGER NOT NULL CHECK (disabled IN (0, 1)), 
	terms TEXT NOT NULL, 
	PRIMARY KEY (tenant, name)
)
 STRICT

;
INSERT INTO "trunks" VALUES('acme','second',0,'192.0.2.1',5060,'udp',1,60,4,'Mills','carrier',NULL,NULL,0,'{"domain":"","login":{"username":"","password":"","realm":""},"registering":{"expires_s":0,"registrars":[]},"probing":{"every_s":0,"misses":3,"rest_s":30,"patience_s":4},"sources":[],"numbers":{"format":"plus","country_code":"","international_prefix":"00","national_prefix":"0","tech_prefix":"","rewrites":[]},"numbers_in":{"format":"plus","country_code":"","international_prefix":"00","national_prefix":"0","tech_prefix":"","rewrites":[]},"caller_id":{"show":"shop","number":"","from_user":"","asserted":false},"fail_over":{"next":[],"stop":[]},"codecs":[],"max_call_s":null}');
INSERT INTO "trunks" VALUES('acme','first',1,'192.0.2.1',5060,'udp',0,60,4,'Mills','carrier',30,5,0,'{"domain":"","login":{"username":"","password":"","realm":""},"registering":{"expires_s":0,"registrars":[]},"probing":{"every_s":0,"misses":3,"rest_s":30,"patience_s":4},"sources":[],"numbers":{"format":"plus","country_code":"","international_prefix":"00","national_prefix":"0","tech_prefix":"","rewrites":[]},"numbers_in":{"format":"plus","country_code":"","international_prefix":"00","national_prefix":"0","tech_prefix":"","rewrites":[]},"caller_id":{"show":"shop","number":"","from_user":"","asserted":false},"fail_over":{"next":[],"stop":[]},"codecs":[],"max_call_s":null}');
CREATE TABLE web_sessions (
	tenant TEXT NOT NULL, 
	sha256 TEXT NOT NULL, 
	operator TEXT NOT NULL, 
	created_at_ms INTEGER NOT NULL, 
	seen_at_ms INTEGER NOT NULL, 
	PRIMARY KEY (tenant, sha256), 
	UNIQUE (sha256)
)
 STRICT

;
CREATE INDEX open_alarms ON alarms (tenant, at_ms) WHERE acknowledged_at_ms IS NULL;
CREATE INDEX cdrs_by_session ON cdrs (tenant, session_id) WHERE session_id IS NOT NULL;
CREATE INDEX cdrs_by_time ON cdrs (tenant, setup_at_ms);
CREATE INDEX transfers_by_credit ON transfers (tenant, credit, at_ms);
CREATE INDEX transfers_by_debit ON transfers (tenant, debit, at_ms);
CREATE UNIQUE INDEX one_unpaid_session ON booth_sessions (tenant, booth) WHERE paid = 0;
CREATE TRIGGER transfers_do_not_change BEFORE UPDATE ON transfers BEGIN SELECT RAISE(ABORT, 'transfers are append-only'); END;
CREATE TRIGGER transfers_do_not_go BEFORE DELETE ON transfers BEGIN SELECT RAISE(ABORT, 'transfers are append-only'); END;
CREATE TRIGGER invoices_do_not_change BEFORE UPDATE ON invoices BEGIN SELECT RAISE(ABORT, 'invoices are append-only'); END;
CREATE TRIGGER invoices_do_not_go BEFORE DELETE ON invoices BEGIN SELECT RAISE(ABORT, 'invoices are append-only'); END;
CREATE TRIGGER cdrs_are_numbered AFTER INSERT ON cdrs BEGIN INSERT INTO outbox (tenant, number, call_id, revision, gone) SELECT NEW.tenant, coalesce(max(number), 0) + 1, NEW.call_id, NEW.revision, 0 FROM outbox WHERE tenant = NEW.tenant; END;
CREATE TRIGGER cdrs_keep_their_number AFTER DELETE ON cdrs BEGIN UPDATE outbox SET gone = 1 WHERE tenant = OLD.tenant AND call_id = OLD.call_id AND revision = OLD.revision; END;
COMMIT;
