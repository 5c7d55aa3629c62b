from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("etl_telemetry", "0001_ledger")]

    operations = [
        migrations.CreateModel(
            name='AuditBlock',
            fields=[
                ('number', models.BigIntegerField(primary_key=True, serialize=False)),
                ('previous', models.CharField(max_length=64)),
                ('digest', models.CharField(max_length=64)),
                ('content', models.CharField(max_length=64)),
                ('rows', models.IntegerField()),
                ('forged', models.IntegerField()),
                ('newest_us', models.BigIntegerField()),
                ('chained_us', models.BigIntegerField()),
                ('exported_us', models.BigIntegerField(null=True)),
            ],
            options={
                'verbose_name': 'audit block',
                'indexes': [models.Index(fields=['exported_us', 'number'], name='etl_audit_exported')],
            },
        ),
        migrations.CreateModel(
            name='AuditChain',
            fields=[
                ('id', models.SmallIntegerField(primary_key=True, serialize=False)),
                ('number', models.BigIntegerField()),
                ('digest', models.CharField(max_length=64)),
                ('holder', models.CharField(blank=True, max_length=64)),
                ('held_until_us', models.BigIntegerField(default=0)),
            ],
            options={
                'verbose_name': 'audit chain',
            },
        ),
        migrations.CreateModel(
            name='AuditRow',
            fields=[
                ('id', models.BigAutoField(primary_key=True, serialize=False)),
                ('uid', models.CharField(max_length=32, unique=True)),
                ('occurred_us', models.BigIntegerField()),
                ('name', models.CharField(max_length=100)),
                ('actor', models.TextField()),
                ('organization', models.TextField(blank=True)),
                ('resource_type', models.TextField()),
                ('resource_id', models.TextField()),
                ('outcome', models.CharField(max_length=10)),
                ('details', models.TextField()),
                ('trace_id', models.CharField(blank=True, max_length=32)),
                ('span_id', models.CharField(blank=True, max_length=16)),
                ('run_id', models.TextField(blank=True)),
                ('key_id', models.CharField(max_length=8)),
                ('seal', models.CharField(max_length=64)),
                ('block', models.BigIntegerField(editable=False, null=True)),
            ],
            options={
                'verbose_name': 'audit event',
                'indexes': [models.Index(fields=['block', 'id'], name='etl_audit_block')],
            },
        ),
    ]
